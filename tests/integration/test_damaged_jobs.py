"""Job folders damaged by hand: going on with one gives the right output, scores again, or says what is wrong."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from gristmill.errors import GristmillError
from gristmill.spec import Deployment, Input, Job, Model, Output, to_json
from gristmill_scheduler.admission import readmit
from gristmill_scheduler.rebuild import rebuild
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import Item, ManifestWriter, cut
from gristmill_storage.parts import Block, PartWriter, part_name
from gristmill_workers.aggregator import aggregate

EXPECTED = b"".join(b"row of %d.txt\n" % n for n in range(10))
SECOND = part_name("1", 3, "node", 1)


def row(number: int) -> bytes:
    return b"row of %d.txt\nrow of %d.txt\n" % (2 * number, 2 * number + 1)


def write_part(folder, epoch: str, numbers: range) -> str:
    name = part_name(epoch, numbers[0], "node", 1)
    writer = PartWriter(folder, name)
    for n in numbers:
        data = row(n)
        counts = {"items": 2, "succeeded": 2, "failed": 0, "rows": 2, "size": len(data)}
        writer.add(Block(mini_batch=n, attempt=1, seconds=0.1, encoding="text", **counts), data)
    writer.seal()
    return name


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of a job of ten items in five mini-batches, all scored, in two parts; nothing is merged."""
    (tmp_path / "in").mkdir()
    for n in range(10):
        (tmp_path / "in" / f"{n}.txt").touch()
    job = Job(
        name="job-1",
        deployment=Deployment(name="d", model=Model(path=str(tmp_path / "in")), compute="c"),
        input=Input(uri=str(tmp_path / "in")),
        output=Output(folder=str(tmp_path / "out")),
        submitted=1.0,
    )
    folder = open_store(job_folder.url(job.output.folder, job.name))
    folder.create(job_folder.SPEC, json.dumps(to_json(job)).encode())
    writer = ManifestWriter(folder)
    for mini_batch in cut((Item(f"{n}.txt") for n in range(10)), 2):
        writer.add(mini_batch)
    writer.close()
    write_part(folder, "1", range(3))
    write_part(folder, "1", range(3, 5))
    return Path(folder.url)


def the(place: Path, pattern: str) -> Path:
    return max(place.glob(pattern))


def document(name: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    """Change a JSON document of the folder."""

    def damage(place: Path) -> None:
        path = the(place, name)
        value = json.loads(path.read_text())
        changed = change(value)
        path.write_text(json.dumps(value if changed is None else changed))

    return damage


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change a file of the folder; one that is not there is made."""

    def damage(place: Path) -> None:
        path = the(place, name) if any(place.glob(name)) else place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(change(path.read_bytes() if path.exists() else b""))

    return damage


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at >= 0 else flip(len(data) + at)(data)


def lines(change: Callable[[list[dict]], list]) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in change(list(map(json.loads, data.splitlines()))))

    return damage


def resealed(change: Callable[[dict], None]) -> Callable[[bytes], bytes]:
    """Change a part's index and give it right checksums again: a fault of a program, not of a disk."""

    def damage(data: bytes) -> bytes:
        rows_end, errors_end, _, length = struct.unpack_from("<QQQQ", data, len(data) - 56)
        (version,) = struct.unpack_from("<I", data, len(data) - 56 + 36)
        index = json.loads(data[errors_end : errors_end + length])
        change(index)
        text = json.dumps(index).encode()
        sealed = struct.pack(
            "<QQQQII", rows_end, errors_end, errors_end + len(text), len(text), zlib.crc32(text), version
        )
        return data[:errors_end] + text + sealed + struct.pack("<II8s", zlib.crc32(sealed), 0, b"GRISTPRT")

    return damage


def block(field: int, value: object) -> Callable[[bytes], bytes]:
    """Set a field of a part's first block."""
    return resealed(lambda index: index["blocks"][0].__setitem__(field, value))


PART, CHUNK = "parts/*.part", "manifest/0*.jsonl"

DAMAGES: dict[str, Callable[[Path], None]] = {
    # the job's own document
    "job.json is gone": lambda place: (place / "job.json").unlink(),
    "job.json is empty": bytes_of("job.json", lambda _: b""),
    "job.json is truncated": bytes_of("job.json", lambda data: data[: len(data) // 2]),
    "job.json is a list": bytes_of("job.json", lambda _: b"[]"),
    "job.json is null": bytes_of("job.json", lambda _: b"null"),
    "job.json is no UTF-8": bytes_of("job.json", lambda _: b"\xff\xfe"),
    "job.json is a folder": lambda place: ((place / "job.json").unlink(), (place / "job.json").mkdir()),
    "job.json of a later version": document("job.json", lambda it: it.update(spec_version=99)),
    "job.json of no version": document("job.json", lambda it: it.update(spec_version="one")),
    "job.json without a name": document("job.json", lambda it: it.pop("name") and None),
    "job.json without a deployment": document("job.json", lambda it: it.pop("deployment") and None),
    "job.json with a deployment of a wrong type": document("job.json", lambda it: it.update(deployment=[1])),
    "job.json with settings of a wrong type": document("job.json", lambda it: it["deployment"].update(settings="x")),
    "job.json with an unknown output_action": document(
        "job.json", lambda it: it["deployment"]["settings"].update(output_action="append")
    ),
    "job.json with a name that leads out": document("job.json", lambda it: it.update(name="../../../etc/x")),
    "job.json with an output name that leads out": document(
        "job.json", lambda it: it["deployment"]["settings"].update(output_file_name="../../escaped.csv")
    ),
    "job.json with an absolute output name": document(
        "job.json", lambda it: it["deployment"]["settings"].update(output_file_name="/tmp/gristmill-escaped.csv")
    ),
    # the manifest
    "the manifest is gone": lambda place: shutil.rmtree(place / "manifest"),
    "the manifest's end is gone": lambda place: (place / "manifest/end.json").unlink(),
    "the manifest's end is empty": bytes_of("manifest/end.json", lambda _: b""),
    "the manifest's end is a list": bytes_of("manifest/end.json", lambda _: b"[]"),
    "the manifest's end has too few": document("manifest/end.json", lambda it: it.update(mini_batches=3)),
    "the manifest's end has too many": document("manifest/end.json", lambda it: it.update(mini_batches=10**12)),
    "the manifest's end counts words": document("manifest/end.json", lambda it: it.update(mini_batches="five")),
    "the manifest's end is negative": document("manifest/end.json", lambda it: it.update(items=-1)),
    "a chunk is gone": lambda place: the(place, CHUNK).unlink(),
    "a chunk is empty": bytes_of(CHUNK, lambda _: b""),
    "a chunk is truncated": bytes_of(CHUNK, lambda data: data[:-9]),
    "a chunk is no JSON": bytes_of(CHUNK, lambda _: b"{{{\n" * 5),
    "a chunk is binary": bytes_of(CHUNK, lambda _: bytes(range(256))),
    "a chunk lacks a line": bytes_of(CHUNK, lines(lambda it: it[:2] + it[3:])),
    "a chunk has a line twice": bytes_of(CHUNK, lines(lambda it: [*it[:2], it[1], *it[2:]])),
    "a chunk is out of order": bytes_of(CHUNK, lines(lambda it: it[::-1])),
    "a chunk's items are a text": bytes_of(CHUNK, lines(lambda it: [{**it[0], "items": "abc"}, *it[1:]])),
    "a chunk's items are numbers": bytes_of(CHUNK, lines(lambda it: [{**it[0], "items": [1, 2]}, *it[1:]])),
    "a chunk's items lead out": bytes_of(CHUNK, lines(lambda it: [{**it[0], "items": ["../../x", "y"]}, *it[1:]])),
    "a chunk's items are absolute": bytes_of(CHUNK, lines(lambda it: [{**it[0], "items": ["/etc/passwd"]}, *it[1:]])),
    "a chunk's lines are lists": bytes_of(CHUNK, lines(lambda it: [list(line) for line in it])),
    "a chunk of another name": lambda place: shutil.copy(the(place, CHUNK), place / "manifest/notes.jsonl"),
    "a chunk over another": lambda place: shutil.copy(the(place, CHUNK), place / f"manifest/{2:012d}.jsonl"),
    # parts
    "the parts are gone": lambda place: shutil.rmtree(place / "parts"),
    "a part is gone": lambda place: the(place, PART).unlink(),
    "a part is empty": bytes_of(PART, lambda _: b""),
    "a part is cut at its start": bytes_of(PART, lambda data: data[5:]),
    "a part is cut at its end": bytes_of(PART, lambda data: data[:-5]),
    "a part is its trailer": bytes_of(PART, lambda data: data[-56:]),
    "a part is longer": bytes_of(PART, lambda data: data + b"\n"),
    "a part is of zeros": bytes_of(PART, lambda data: bytes(len(data))),
    "a part has a flipped row": bytes_of(PART, flip(3)),
    "a part has a flipped index": bytes_of(PART, flip(-200)),
    "a part has a flipped trailer": bytes_of(PART, flip(-40)),
    "a part has a flipped magic": bytes_of(PART, flip(-1)),
    "a part is another's": lambda place: shutil.copy(min(place.glob(PART)), max(place.glob(PART))),
    "a part twice under two names": lambda place: shutil.copy(
        the(place, PART), place / job_folder.part_path(part_name("2", 3, "other", 7))
    ),
    "a part of a foreign name": bytes_of("parts/readme.part", lambda _: b"hello"),
    "a part that is a folder": lambda place: (place / "parts" / f"{part_name('0', 0, 'x', 1)}.part").mkdir(),
    "a part that is a link to nothing": lambda place: (
        place / "parts" / f"{part_name('0', 0, 'x', 1)}.part"
    ).symlink_to("nowhere"),
    "temporary files": bytes_of("parts/.gristmill-tmp-abc", lambda _: b"torn"),
    "an index that names a mini-batch behind the plan": bytes_of(PART, block(0, 99)),
    "an index that names a huge mini-batch": bytes_of(PART, block(0, 2**60)),
    "an index that names a negative mini-batch": bytes_of(PART, block(0, -1)),
    "an index that names a word": bytes_of(PART, block(0, "first")),
    "an index of more rows than there are": bytes_of(PART, block(10, 10**9)),
    "an index that starts before the file": bytes_of(PART, block(9, -5)),
    "an index with columns that are not there": bytes_of(PART, block(8, 5)),
    "an index with an unknown encoding": bytes_of(PART, block(7, "morse")),
    "an index with a file that leads out": bytes_of(PART, block(15, ["../../../escaped"])),
    "an index with files of a wrong type": bytes_of(PART, block(15, 5)),
    "an index with pieces of a wrong type": bytes_of(PART, block(16, [[1]])),
    "an index that is a list": bytes_of(PART, resealed(lambda index: index.clear())),
    "an index with a line too short": bytes_of(PART, resealed(lambda index: index["blocks"][0].clear())),
    "an index without blocks": bytes_of(PART, resealed(lambda index: index["blocks"].clear())),
    # what the aggregator left
    "merge.json is torn": bytes_of("merge.json", lambda _: b'[["'),
    "merge.json is null": bytes_of("merge.json", lambda _: b"null"),
    "merge.json names what is not there": bytes_of("merge.json", lambda _: b'[["1-000000000000-x-000001", [[0, 4]]]]'),
    "merge.json leads out": bytes_of("merge.json", lambda _: b'[["../../../etc/passwd", [[0, 4]]]]'),
    "merge.json lacks a part": bytes_of("merge.json", lambda _: json.dumps([[SECOND, [[3, 4]]]]).encode()),
    "result.json is torn": bytes_of("result.json", lambda _: b"{"),
    "result.json is a list": bytes_of("result.json", lambda _: b"[]"),
    "result.json has an unknown status": bytes_of("result.json", lambda _: b'{"status": "Pizza"}'),
    "publishing.json is torn": bytes_of("publishing.json", lambda _: b"{"),
    "partial.json is torn": bytes_of("partial.json", lambda _: b"{"),
    "partial.json is a list": bytes_of("partial.json", lambda _: b"[1]"),
    "timeline.json is torn": bytes_of("timeline.json", lambda _: b"{"),
    "timeline.json is a list": bytes_of("timeline.json", lambda _: b"[]"),
    "the index is torn": bytes_of("index", lambda _: b"GRIST"),
    "a wish is torn": bytes_of("wishes/cancel.json", lambda _: b"{"),
    "a wish of a wrong type": bytes_of("wishes/cancel.json", lambda _: b"[]"),
}


def go_on(place: Path) -> str:
    """Do what `job resume` does without processes; return how the job stands then."""
    job, folder = readmit(str(place))
    ledger = MemoryLedger()
    rebuild(job, folder, ledger, lease_seconds=30, retry_failed=True)
    snapshot = ledger.snapshot(job.name)
    if snapshot.state != "scored":
        assert snapshot.done < max(snapshot.planned, 1) or not snapshot.plan_closed
        return "to be scored"
    aggregate(job, folder, ledger, publish=True)
    return str(json.loads((place / "result.json").read_text())["status"])


def around(place: Path) -> set[str]:
    """Return all that lies beside the output's folder, three folders up."""
    out = place.parent.parent
    return {str(path) for path in out.parent.rglob("*") if not path.is_relative_to(out)}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_job_is_right_scored_again_or_refused(place: Path, damage: str) -> None:
    DAMAGES[damage](place)
    before = around(place)

    try:
        end = go_on(place)
    except GristmillError as error:
        end = "refused" if error.message.strip() else "refused without a word"

    output = place.parent.parent / "predictions.csv"
    if end == "Completed":
        assert output.read_bytes() == EXPECTED
    else:
        assert not output.exists()
    assert around(place) == before
    assert not Path("/tmp/gristmill-escaped.csv").exists()
    assert end in ("Completed", "Failed", "to be scored", "refused")


def test_the_undamaged_job_is_completed(place: Path) -> None:
    assert go_on(place) == "Completed"
    assert (place.parent.parent / "predictions.csv").read_bytes() == EXPECTED
