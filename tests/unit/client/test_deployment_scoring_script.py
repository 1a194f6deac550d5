from __future__ import annotations

import pytest

from gristmill.spec import CodeConfiguration

TEXT = "name: abc\ncode_configuration:\n  code: code\n  scoring_script: s.py\n"


@pytest.fixture
def scripted(load, deployment_folder):
    def call(source: str | bytes) -> CodeConfiguration:
        data = source.encode() if isinstance(source, str) else source
        (deployment_folder / "code" / "s.py").write_bytes(data)
        return load(TEXT).code_configuration

    return call


@pytest.fixture
def refused(faults, deployment_folder):
    def call(source: str | bytes) -> str:
        data = source.encode() if isinstance(source, str) else source
        (deployment_folder / "code" / "s.py").write_bytes(data)
        (fault,) = faults(TEXT)
        assert (fault.line, fault.field) == (4, "code_configuration.scoring_script")
        return fault.message

    return call


def test_code_and_script_are_taken(scripted, deployment_folder):
    found = scripted("def init(): ...\ndef run(mini_batch): ...\n")
    assert found == CodeConfiguration(code=str(deployment_folder / "code"), scoring_script="s.py")


@pytest.mark.parametrize(
    "source",
    [
        "async def init(): ...\nasync def run(b): ...\n",
        "init = print\nrun = lambda b: b\n",
        "init: object = 1\nrun: object = 2\n",
        "(init, [run, *_]) = 1, [2]\n",
        "from driver import init, run\n",
        "from driver import start as init, score as run\n",
        "import init, run.deep\n",
        "from driver import *\n",
        "try:\n    from a import init, run\nexcept ImportError:\n    from b import init, run\n",
        "if True:\n    def init(): ...\n    def run(b): ...\n",
        "with open('x') as init:\n    run = 1\n",
        "for init in []: ...\nwhile (run := 0): ...\n",
        "class init: ...\nclass run: ...\n",
        "def setup():\n    global init, run\n    init = run = 1\nsetup()\n",
        "globals().update(init=1, run=2)\n",
        "exec('def init(): ...')\n",
        "import sys\nsetattr(sys.modules[__name__], 'init', 1)\n",
        "match 1:\n    case [init, *run]: ...\n",
        "def __getattr__(name): ...\n",
        "# -*- coding: latin-1 -*-\ndef init(): '\xe4'\ndef run(b): ...\n".encode("latin-1"),
        "\ufeffdef init(): ...\ndef run(b): ...\n",
        "def init(): '\\d'\ndef run(b): return b is 1\n",
    ],
)
def test_init_and_run_may_come_to_be_in_any_way(scripted, source):
    assert scripted(source).scoring_script == "s.py"


@pytest.mark.parametrize(
    ("source", "absent"),
    [
        ("", "init() and no run()"),
        ("def init(): ...\n", "run()"),
        ("def run(b): ...\n", "init()"),
        ("class A:\n    def init(self): ...\n    def run(self, b): ...\n", "init() and no run()"),
        ("def init():\n    def run(b): ...\n", "run()"),
        ("def init(): ...\nprint(run)\n", "run()"),
        ("def Init(): ...\ndef run(b): ...\n", "init()"),
        ("def init(): ...\nf = lambda: (run := 1)\n", "run()"),
    ],
)
def test_a_script_that_clearly_lacks_a_function_is_refused(refused, source, absent):
    expected = f"s.py defines no {absent}; a scoring script has init() and run(mini_batch)"
    assert refused(source) == expected


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def init(:\n", "line 1: "),
        ("def init(): ...\n\nprint 'hello'\n", "line 3: Missing parentheses"),
        ("if True:\nx = 1\n", "line 2: expected an indented block"),
        (b"def init(): ...\n\0", "null bytes"),
        (b"def init(): '\xff'\n", "line 1: "),
        ("# coding: nonsense\n", "unknown encoding"),
        ("(" * 100_000, ""),
        ("x = " + "-" * 100_000 + "1", ""),
        ("#" * (1 << 20) + "\n", "the script is larger than 1 MiB"),
    ],
)
def test_a_script_that_is_no_python_is_refused(refused, source, problem):
    message = refused(source)
    assert message.startswith("Failed to submit deployment abc due to syntax errors in scoring script s.py: ")
    assert problem in message


def test_a_deployment_without_a_name_is_refused_as_well(faults, deployment_folder):
    (deployment_folder / "code" / "s.py").write_text("def")
    (fault,) = faults(TEXT.replace("name: abc\n", ""))
    assert fault.message.startswith("Failed to submit deployment (no name) due to syntax errors")


def test_a_script_in_a_folder_beneath_is_taken(load, deployment_folder):
    text = "code_configuration: {code: '.', scoring_script: ./code/../code/batch_driver.py}\n"
    found = load(text).code_configuration
    assert found == CodeConfiguration(code=str(deployment_folder), scoring_script="code/batch_driver.py")


def test_a_script_that_is_a_link_is_taken(load, deployment_folder):
    (deployment_folder / "shared.py").write_text("def init(): ...\ndef run(b): ...\n")
    (deployment_folder / "code" / "s.py").symlink_to(deployment_folder / "shared.py")
    assert load(TEXT).code_configuration.scoring_script == "s.py"


@pytest.mark.parametrize("script", ["../code/batch_driver.py/../../x.py", "../x.py", "..", ".", "a/../../x.py"])
def test_a_script_outside_the_code_folder_is_refused(faults, script):
    (fault,) = faults(f"code_configuration: {{code: code, scoring_script: '{script}'}}\n")
    assert "is not inside the code folder; give a path relative to " in fault.message


def test_an_absolute_script_is_refused(faults, deployment_folder):
    script = deployment_folder / "code" / "batch_driver.py"
    (fault,) = faults(f"code_configuration: {{code: code, scoring_script: '{script}'}}\n")
    assert "is not inside the code folder" in fault.message


@pytest.mark.parametrize("script", ["gone.py", "folder", "x" * 5000])
def test_a_script_that_is_no_file_is_refused(faults, deployment_folder, script):
    (deployment_folder / "code" / "folder").mkdir()
    (fault,) = faults(f"code_configuration: {{code: code, scoring_script: {script}}}\n")
    assert fault.message.startswith(f"Failed to open scoring script {script[:40]}")


@pytest.mark.parametrize("rest", ["", ", scoring_script: ''", ", scoring_script: ' '"])
def test_code_without_a_script_is_refused(faults, rest):
    (fault,) = faults(f"\ncode_configuration: {{code: code{rest}}}\n")
    assert (fault.line, fault.field) == (2, "code_configuration.scoring_script")
    assert fault.message.startswith("scoring script can't be empty.")


def test_a_script_without_code_is_refused(faults):
    (fault,) = faults("code_configuration: {scoring_script: s.py}\n")
    assert (fault.line, fault.field) == (1, "code_configuration.code")
    assert fault.message.startswith("Missing data for required field.")


def test_an_empty_section_lacks_both(faults):
    found = faults("code_configuration: {}\n")
    assert {"code_configuration.code", "code_configuration.scoring_script"} == {fault.field for fault in found}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("gone", "no such folder: "),
        ("code/batch_driver.py", "is a file; give the folder that holds it: "),
        ("azureml:code:1", "'azureml:code:1' is a registered code asset, which cannot be fetched"),
        ("''", "the path is empty"),
        ("5", "Not a valid string. Found 5"),
        ("{local_path: code, a: b}", "Not a valid string. A mapping is the 2021 form; write code: <folder>"),
    ],
)
def test_code_that_is_no_local_folder_is_refused(faults, code, message):
    (fault,) = faults(f"code_configuration:\n  code: {code}\n  scoring_script: batch_driver.py\n")
    assert (fault.line, fault.field) == (2, "code_configuration.code")
    assert fault.message.startswith(message)


@pytest.mark.parametrize("code", ["file:code", "./code/", "file:./code"])
def test_code_may_be_written_in_several_ways(load, deployment_folder, code):
    found = load(f"code_configuration: {{code: '{code}', scoring_script: batch_driver.py}}\n").code_configuration
    assert found.code == str(deployment_folder / "code")
