"""Scripts that are none: each fails init() with a reason, and the child ends."""

from __future__ import annotations

from typing import Any

import pytest

PLAIN = "def init(): pass\ndef run(b): return b\n"

SCRIPTS: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n\n\n",
    "a remark": b"# score\n",
    "no Python": b"<html></html>",
    "a notebook": b'{"cells": [], "metadata": {}}, !',
    "YAML": b"type: model\nname: x\n",
    "Python 2": b"def init(): print 'hello'\ndef run(b): return b\n",
    "tabs and spaces": b"def init():\n\tpass\n        pass\n",
    "an open bracket": b"def init(): pass\ndef run(b): return (b\n",
    "an open text": b'def init(): pass\nx = """abc\n',
    "NUL bytes": b"def init(): pass\0\n",
    "UTF-16": PLAIN.encode("utf-16"),
    "no UTF-8": b"x = '\xff\xfe'\n",
    "an unknown encoding": b"# -*- coding: klingon -*-\n" + PLAIN.encode(),
    "deep brackets": b"x = " + b"(" * 2000 + b")" * 2000 + b"\n",
    "bytes of noise": bytes(range(256)) * 8,
    "no run": b"def init(): pass\n",
    "no init": b"def run(b): return b\n",
    "run is a class's": b"class Model:\n  def init(self): pass\n  def run(self, b): return b\n",
    "run takes nothing": b"def init(): pass\ndef run(): return []\ndef init(): run(1)\n",
    "init wants something": b"def init(model): pass\ndef run(b): return b\n",
    "raises at import": b"raise RuntimeError('at import')\n" + PLAIN.encode(),
    "exits at import": b"import sys; sys.exit(0)\n" + PLAIN.encode(),
    "asks at import": b"input('Continue? ')\n" + PLAIN.encode(),
    "imports itself": b"import score\nscore.run\n" + PLAIN.encode(),
    "imports what is not there": b"import no_such_package_of_anybody\n" + PLAIN.encode(),
    "imports without end": b"import sys\nsys.setrecursionlimit(60)\ndef f(): f()\nf()\n" + PLAIN.encode(),
    "reads what is not there": b"data = open('/no/such/file').read()\n" + PLAIN.encode(),
    "divides by zero": b"1 / 0\n" + PLAIN.encode(),
    "an error that cannot be shown": b"class E(Exception):\n  def __str__(self): raise ValueError\nraise E\n",
    "an error with a huge text": b"raise ValueError('x' * 10_000_000)\n",
    "an error with five hundred causes": b"""
def f(n):
    try:
        f(n - 1) if n else 1 / 0
    except Exception as error:
        raise KeyError(n) from error
f(500)
""",
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_a_script_that_is_none_fails_with_a_reason(launch: Any, edge_python: str, case: str) -> None:
    child = launch(SCRIPTS[case], python=edge_python)

    error = child.expect("failed")["error"]

    assert child.wait() == 1
    assert error["category"] == "exception"
    assert error["message"].strip()
    assert len(error["message"]) + len(error["traceback"]) < 200_000
