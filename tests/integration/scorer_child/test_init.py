"""How a script starts, and how it fails to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def failure(child: Any) -> dict[str, Any]:
    error: dict[str, Any] = child.expect("failed")["error"]
    assert child.wait() == 1
    assert child.frame() is None
    return error


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def init(): raise ValueError('no model')\ndef run(b): return b", "ValueError: no model"),
        ("import sys\ndef init(): sys.exit('gone')\ndef run(b): return b", "SystemExit: gone"),
        ("def init(): raise KeyboardInterrupt\ndef run(b): return b", "KeyboardInterrupt"),
        (
            "import not_there\ndef init(): pass\ndef run(b): return b",
            "ModuleNotFoundError: No module named 'not_there'",
        ),
        ("def run(b): return b", "has no init: define `def init()`"),
        ("def init(): pass\nrun = 3", "has something that is no function as run: define `def run(mini_batch)`"),
        ("def init(:", "SyntaxError: "),
    ],
)
def test_an_init_that_fails_is_reported_and_ends_the_child(
    launch: Any, edge_python: str, script: str, message: str
) -> None:
    error = failure(launch(script, python=edge_python))

    assert message in error["message"]
    assert (error["category"], error["file"]) == ("exception", None)


def test_the_traceback_of_init_begins_in_the_script(launch: Any, edge_python: str) -> None:
    child = launch("def init(): raise ValueError('no model')\ndef run(b): return b", python=edge_python)

    lines = failure(child)["traceback"].splitlines()

    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{child.start["code"]}/score.py", line 1, in init'


def test_a_syntax_error_shows_the_line_and_none_of_our_frames(launch: Any, edge_python: str) -> None:
    text = failure(launch("def init(:", python=edge_python))["traceback"]

    assert "def init(:" in text
    assert "importlib" not in text
    assert "scorer/" not in text


def test_a_script_that_is_not_there_is_named(launch: Any) -> None:
    error = failure(launch("", script="other.py"))

    assert error["message"].endswith(
        "code_configuration.scoring_script: there is no file " + error["message"].split()[-1]
    )
    assert error["message"].endswith("/code/other.py")


def test_main_blocks_are_not_run(launch: Any) -> None:
    script = "def init(): pass\ndef run(b): return b\nif __name__ == '__main__': raise SystemExit"

    assert launch(script).ready().score("a")[0]["outcome"] == "done"


def test_a_script_may_bear_the_name_of_a_module_python_stands_on(launch: Any) -> None:
    files = {"os.py": "def init(): pass\ndef run(b): return ['mine']"}

    assert launch("", files=files, script="os.py").ready().score("a")[1] == b"mine\n"


def test_entry_script_gives_a_logger_and_the_folders(launch: Any, edge_python: str) -> None:
    script = """
        from azureml_user.parallel_run import EntryScript
        def init():
            global entry
            entry = EntryScript()
            entry.logger.info("init was here")
        def run(batch):
            EntryScript().logger.debug("not at this level")
            return [entry.log_dir, entry.output_dir, entry.working_dir, entry.agent_name]
    """
    child = launch(script, python=edge_python).ready()

    assert child.score("a")[1].decode().splitlines() == [
        child.start["log_dir"],
        child.start["output_dir"],
        child.start["working_dir"],
        "process003",
    ]
    log = Path(child.start["log_dir"], "entry_script_log", "node0", "process003.log.txt").read_text()
    assert log.endswith("init was here\n")
    assert log.count("\n") == 1


def test_a_real_azureml_user_package_wins(launch: Any) -> None:
    script = "from azureml_user.parallel_run import EntryScript\ndef init(): pass\ndef run(b): return [EntryScript]"
    files = {"azureml_user/__init__.py": "", "azureml_user/parallel_run.py": "EntryScript = 'theirs'"}

    assert launch(script, files=files).ready().score("a")[1] == b"theirs\n"


def test_the_root_logger_has_the_deployments_level(launch: Any, edge_python: str) -> None:
    script = """
        import logging
        def init():
            logging.debug("a detail")
            logging.getLogger("mine").warning("a warning")
        def run(batch): return batch
    """
    child = launch(script, python=edge_python, logging_level="warning").ready()
    assert "WARNING mine: a warning" in child.stderr
    assert "a detail" not in child.stderr

    assert "DEBUG root: a detail" in launch(script, python=edge_python, logging_level="debug").ready().stderr


def test_run_may_take_a_context(launch: Any, edge_python: str) -> None:
    script = """
        def init(): pass
        def run(input_data, mini_batch_context):
            return [mini_batch_context.minibatch_index, mini_batch_context.partition_key_value]
    """
    assert launch(script, python=edge_python).ready().score("a", n=41)[1] == b"41\nNone\n"


def test_a_default_second_parameter_is_the_scripts_own(launch: Any) -> None:
    script = "def init(): pass\ndef run(batch, threshold=0.5): return [threshold]"

    assert launch(script).ready().score("a")[1] == b"0.5\n"


def test_a_deployments_own_python_path_is_honoured(launch: Any) -> None:
    script = "import lib_module, os\ndef init(): pass\ndef run(b): return [os.environ['PYTHONPATH']]"
    child = launch(script, files={"lib/lib_module.py": ""}, python_path=["lib"]).ready()

    assert child.score("a")[1].decode() == f"{child.start['code']}/lib\n"


def test_another_parent_than_the_node_means_that_the_node_has_ended(launch: Any) -> None:
    child = launch("def init(): print('never')\ndef run(b): return b", parent=1)

    assert child.frame() is None
    assert child.wait() == 0
    assert child.stdout == ""
