"""What protocol 1 says, held against what is written now: neighbours must find in it what they look for.

A key that is added is passed over by who does not know it. One that is gone or renamed is not: then raise
`gristmill.versions.PROTOCOL` by two (or write both for one version, and raise it by one), record the new form here, and
say in the change log which version it was. See docs/decisions/0032.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import gristmill_storage.ledger as ledger_package
from gristmill import spec, versions
from gristmill_storage.ledger.scripts import JOBS, NODES, key
from gristmill_storage.messages import KEY_PREFIX, Message, queue_name

#: Names that protocol 1 uses: keys of a message, fields of a job's hash in the ledger, the last words of a job's keys,
#: paths in a job's document.
RECORDED = json.loads((Path(__file__).parent / "protocol_1.json").read_text())


def paths(kind: Any, prefix: str = "") -> Iterator[str]:
    """Yield the path of each field of a spec, and of what is inside it."""
    hints = get_type_hints(kind)
    for each in dataclasses.fields(kind):
        yield prefix + each.name
        inside = [hints[each.name], *getattr(hints[each.name], "__args__", ())]
        for one in inside:
            if dataclasses.is_dataclass(one):
                yield from paths(one, f"{prefix}{each.name}.")


def lua(name: str) -> str:
    return (Path(ledger_package.__file__).parent / "lua" / name).read_text()


def test_the_number_that_is_recorded_here_is_the_one_that_is_spoken() -> None:
    assert RECORDED["protocol"] == versions.PROTOCOL, "record the new protocol's forms here"


def test_messages_say_what_they_said() -> None:
    assert set(Message(job="j", folder="/f").to_json()) >= set(RECORDED["message"])
    assert (queue_name("gpu"), KEY_PREFIX) == ("gristmill.gpu", "gristmill-celery:")


def test_the_ledger_keeps_what_it_kept_where_it_kept_it() -> None:
    written = set(re.findall(r"'(\w+)'", lua("open.lua").partition("'HSET', JOB,")[2]))
    named = set(re.findall(r"HOME \.\. '([\w:]+)'", lua("shared/prelude.lua"))) | {"job"}

    assert written >= set(RECORDED["hash"])
    assert named >= set(RECORDED["keys"])
    assert (JOBS, NODES, key("j", "job")) == ("gristmill:jobs", "gristmill:nodes", "gristmill:{j}:job")


def test_a_jobs_document_holds_what_nodes_look_for() -> None:
    assert set(paths(spec.Job)) >= set(RECORDED["document"])


def test_the_shortest_document_of_the_first_form_is_read() -> None:
    document = {"spec_version": 1, "name": "j", "deployment": {}, "input": {"uri": "/in"}, "output": {"folder": "/o"}}

    assert spec.from_json(spec.Job, {**document, "later": {"unknown": 1}}).name == "j"
