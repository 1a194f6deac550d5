from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_the_package_alone_does_not_import_deployments():
    code = "import sys, gristmill; print('gristmill.deployment' in sys.modules, 'yaml' in sys.modules)"
    assert run(code) == "False False"


def test_reading_deployments_needs_nothing_heavy():
    heavy = ["pydantic", "pandas", "numpy", "celery", "redis", "mlflow", "fsspec", "asyncio", "rich"]
    code = f"import sys, gristmill.deployment; print([name for name in {heavy} if name in sys.modules])"
    assert run(code) == "[]"


def test_it_is_imported_in_less_than_a_fifth_of_a_second():
    code = "import time; t = time.process_time(); import gristmill.deployment; print(time.process_time() - t)"
    assert min(float(run(code)) for _ in range(3)) < 0.2


def test_the_public_names_are_two():
    assert run("import gristmill.deployment as d; print(*d.__all__)") == "build_deployment load_deployment"
