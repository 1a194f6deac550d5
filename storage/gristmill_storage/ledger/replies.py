"""What the transitions answer, checked before it is believed: a server can be another program, or another version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger.records import InstanceInfo, Range, Snapshot

#: Characters of nonsense that an error shows.
_SHOWN: Final = 80

#: What follows the first word, by transition and word; besides, every transition may answer LOST, STRANGER, CONFLICT or
#: a bare OK.
_SHAPES: Final[dict[tuple[str, str], tuple[type, ...]]] = {
    ("register", "OK"): (str, int, str),
    ("renew", "OK"): (str,),
    ("renew", "FENCED"): (),
    ("lease", "LEASE"): (str, int, int, int, int, int, int),
    ("lease", "WAIT"): (int,),
    ("lease", "OVER"): (str,),
    ("lease", "FENCED"): (),
    ("commit", "COMMIT"): (str, list, list),
    ("fail", "OK"): (int,),
    ("stop", "OK"): (int,),
    ("close", "OK"): (int,),
    ("pause", "OK"): (int,),
    ("lead", "OK"): (int,),
    ("snapshot", "OK"): (int, list, list, int),
    ("nodes", "OK"): (list,),
    ("measure", "OK"): (int, list, list, int, list, list),
}

#: Transitions that answer with more than a bare OK.
_TELLING: Final = frozenset(transition for transition, _ in _SHAPES)


def check(transition: str, reply: Any, server: str) -> list[Any]:
    """Return a reply that is one of the transition's.

    Raises:
        LedgerFailed: it is none.

    """
    if isinstance(reply, list) and reply and isinstance(reply[0], str):
        shape = _shape(transition, reply[0])
        if shape is not None and len(reply) == len(shape) + 1 and all(map(isinstance, reply[1:], shape)):
            return reply
    raise nonsense(server, transition, reply)


def _shape(transition: str, word: str) -> tuple[type, ...] | None:
    if word == "LOST":
        return ()
    if word == "STRANGER":
        return (int,)
    if word == "CONFLICT":
        return (str,)
    if word == "OK" and transition not in _TELLING:
        return ()
    return _SHAPES.get((transition, word))


def nonsense(server: str, question: str, answer: object) -> LedgerFailed:
    """Return the error of an answer that is none."""
    text = repr(answer)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return LedgerFailed(f"the ledger at {server} answered nonsense to {question}: {shown}; is it Redis or Valkey?")


@contextmanager
def reading(server: str, question: str, answer: object) -> Iterator[None]:
    """Take what goes wrong while an answer is read for nonsense in it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise nonsense(server, question, answer) from error


def pairs(flat: Sequence[int]) -> list[Range]:
    """Return the ranges of a flat list of first, last."""
    return list(zip(flat[::2], flat[1::2], strict=True))


def mapping(flat: Sequence[str]) -> dict[str, str]:
    """Return the mapping of a flat list of key, value."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def ranges(text: str) -> list[Range]:
    """Return the ranges of "3-9,12"."""
    bounds = (piece.partition("-") for piece in text.split(","))
    return [(int(first), int(last or first)) for first, _, last in bounds]


def nodes(flat: Sequence[str]) -> list[dict[str, Any]]:
    """Return what each node says of itself, with its name and age, by name."""
    told = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return [node(name, int(age), json.loads(document)) for name, age, document in sorted(told)]


def node(name: str, age_ms: int, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return one node as `Ledger.nodes` tells it."""
    return {**info, "name": name, "age_seconds": age_ms / 1000}


def snapshot(now: int, fields: Mapping[str, str], info: Mapping[str, str], parts: int) -> Snapshot:
    """Return the whole state of a job from its hash and what its instances say."""
    numbers = {name: int(value) for name, value in fields.items() if value.lstrip("-").isdigit()}
    plain = ("planned", "items_planned", "size_planned", "done", "leased", "returned", "cursor", "items_done")
    sums = ("succeeded", "failed", "rows", "size", "losses", "expiries", "fenced", "copies", "outrun")
    return Snapshot(
        state=fields["state"],
        error=json.loads(fields["error"]) if fields["error"] else None,
        epoch=fields["epoch"],
        status=fields["status"],
        plan_closed=fields["plan_closed"] == "1",
        paused=fields["paused"] == "1",
        share=numbers.get("share"),
        failures={name[7:]: count for name, count in numbers.items() if name.startswith("failed:")},
        instances=[_instance(now, name, text) for name, text in sorted(info.items())],
        parts=parts,
        seconds_since_commit=max(0, now - numbers["committed"]) / 1000,
        **{name: numbers[name] for name in plain + sums},
    )


def _instance(now: int, name: str, text: str) -> InstanceInfo:
    since, _, document = text.partition(":")
    return InstanceInfo(name=name, info=json.loads(document), alive_seconds=max(0, now - int(since)) / 1000)
