"""The files that Azure's loaders and ours are asked about: sound ones with one thing changed each, and hand-made ones.

Every file stands in a folder with a script, models, an environment's files and data, so that what a path names
is there. Nothing but the standard library is used: two Pythons make the same files.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from judge.changes import BASES, CHANGES, LEFT_OUT, Document

HAND_MADE = Path(__file__).parent / "files"


#: What the files' paths name.
SURROUNDINGS = {
    "code/score.py": "def init(): ...\n\n\ndef run(mini_batch):\n    return mini_batch\n",
    "code/broken.py": "def init(:\n",
    "code/no_run.py": "def init(): ...\n",
    "model/model.pt": "weights\n",
    "mlflow/MLmodel": "flavors: {}\n",
    "environment/conda.yaml": "name: e\nchannels: [conda-forge]\ndependencies: [python=3.11, {pip: [numpy]}]\n",
    "environment/broken.yaml": "dependencies: [\n",
    "environment/requirements.txt": "numpy\n",
    "docker/Dockerfile": "FROM scratch\n",
    "data/a.csv": "1\n",
}


@dataclass(frozen=True)
class Case:
    """One file."""

    #: `<kind>/<name>`; the kind says which loader is asked.
    name: str
    text: str

    @property
    def kind(self) -> str:
        """What the file describes."""
        return self.name.partition("/")[0]


def surround(folder: Path) -> None:
    """Put into a folder what the files' paths name."""
    for name, text in SURROUNDINGS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def cases() -> list[Case]:
    """Return every file, sorted by name."""
    found = {case.name: case for case in (*_generated(), *_hand_made())}
    return [found[name] for name in sorted(found)]


def _hand_made() -> Iterator[Case]:
    for path in sorted(HAND_MADE.glob("*/*.yml")):
        yield Case(f"{path.parent.name}/{path.stem}", path.read_text(encoding="utf-8"))


def _generated() -> Iterator[Case]:
    for base, document in BASES.items():
        kind = "deployment" if base in {"current", "flat"} else base
        stem = f"{kind}/{base}." if kind != base else f"{kind}/"
        yield Case(f"{stem}as_it_is", _written(document))
        for key in LEFT_OUT[base]:
            yield Case(f"{stem}{key}.left_out", _written(_changed(document, key, None)))
        for key, values in CHANGES[base].items():
            for word, value in values.items():
                yield Case(f"{stem}{key}.{word}", _written(_changed(document, key, value)))


def _changed(document: Document, dotted: str, value: str | None) -> Document:
    changed = copy.deepcopy(document)
    *way, last = dotted.split(".")
    place = changed
    for key in way:
        inner = place.setdefault(key, {})
        assert isinstance(inner, dict)
        place = inner
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


def _written(document: Document, indent: str = "") -> str:
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:\n{_written(value, indent + '  ')}")
        else:
            lines.append(f"{indent}{key}: {value}".rstrip() + "\n")
    return "".join(lines)
