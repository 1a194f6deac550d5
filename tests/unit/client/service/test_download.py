from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from answering import Reply, Server
from gristmill import errors
from gristmill.service.client import Client

SCORES = b"0123456789" * 100
LOG = b"hello\n"


@pytest.fixture
def ended(server: Server, job_document: Any) -> dict[str, Any]:
    """A job that has ended, with a result and a log."""
    document: dict[str, Any] = job_document(status="Completed")
    files = {
        "score": {"predictions.csv": SCORES, "more/x.bin": b""},
        "default": {"logs/user/stdout/node/process000.stdout.txt": LOG},
    }
    server.answers["GET /jobs/j1"] = document
    listing = {
        output: {"value": [{"path": path, "size": len(data)} for path, data in found.items()], "nextLink": None}
        for output, found in files.items()
    }
    server.answers["GET /jobs/j1/files"] = lambda request: listing[request.query["output"]]
    for output, found in files.items():
        for path, data in found.items():
            server.answers[f"GET /jobs/j1/files/{output}/{path}"] = Reply(chunks=[data] if data else [])
    return document


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SCORE_FILES = {"named-outputs/score/predictions.csv": SCORES, "named-outputs/score/more/x.bin": b""}
LOG_FILES = {"artifacts/logs/user/stdout/node/process000.stdout.txt": LOG}


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ({"output_name": "score"}, SCORE_FILES),
        ({}, LOG_FILES),
        ({"output_name": "default"}, LOG_FILES),
        ({"all": True}, {**SCORE_FILES, **LOG_FILES}),
        ({"all": True, "output_name": "score"}, {**SCORE_FILES, **LOG_FILES}),
    ],
)
def test_files_lie_where_azure_puts_them(
    client: Client, ended: Any, tmp_path: Path, arguments: dict[str, Any], files: dict[str, bytes]
) -> None:
    target = tmp_path / "target"

    assert client.jobs.download("j1", download_path=target, **arguments) == target
    assert tree(target) == files


def test_the_working_folder_is_the_default(
    client: Client, ended: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client.jobs.download("j1", output_name="score")

    assert (tmp_path / "named-outputs" / "score" / "predictions.csv").read_bytes() == SCORES


def test_a_wrong_name_of_an_output_is_an_error(client: Client, ended: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.Mistake, match="job j1: has no output 'scroe'; it has: score, default"):
        client.jobs.download("j1", tmp_path, output_name="scroe")
    assert list(tmp_path.glob("named-outputs")) == []


@pytest.mark.parametrize("status", ["Running", "Paused", "Queued"])
def test_what_has_not_ended_is_not_fetched(client: Client, ended: Any, tmp_path: Path, status: str) -> None:
    ended["status"] = status

    with pytest.raises(errors.Mistake) as caught:
        client.jobs.download("j1", tmp_path, output_name="score")

    assert caught.value.message == (
        f"This job is in state {status}. Download is allowed only in states ['Completed', 'Failed', 'Canceled']"
    )


def test_a_file_replaces_an_older_one(client: Client, ended: Any, tmp_path: Path) -> None:
    old = tmp_path / "named-outputs" / "score" / "predictions.csv"
    old.parent.mkdir(parents=True)
    old.write_text("old")

    client.jobs.download("j1", tmp_path, output_name="score")

    assert old.read_bytes() == SCORES


def test_a_cut_is_taken_up_where_it_was(client: Client, server: Server, ended: Any, tmp_path: Path) -> None:
    where = "GET /jobs/j1/files/score/predictions.csv"

    def answer(request: Any) -> Reply:
        if "range" not in request.headers:
            return Reply(chunks=[SCORES[:300], None])
        begin = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        # What was sent before the cut may not all have come.
        assert 0 < begin <= 300
        return Reply(206, chunks=[SCORES[begin:]])

    server.answers[where] = answer
    client.jobs.download("j1", tmp_path, output_name="score")

    assert tree(tmp_path)["named-outputs/score/predictions.csv"] == SCORES


def test_a_server_without_ranges_sends_all_again(client: Client, server: Server, ended: Any, tmp_path: Path) -> None:
    server.answers["GET /jobs/j1/files/score/predictions.csv"] = [
        Reply(chunks=[SCORES[:300], None]),
        Reply(chunks=[SCORES]),
    ]
    client.jobs.download("j1", tmp_path, output_name="score")

    assert tree(tmp_path)["named-outputs/score/predictions.csv"] == SCORES


def test_a_part_that_leads_no_further_is_given_up(client: Client, server: Server, ended: Any, tmp_path: Path) -> None:
    server.answers["GET /jobs/j1/files/score/predictions.csv"] = [
        Reply(chunks=[SCORES[:300], None]),
        Reply(416),
        Reply(chunks=[SCORES]),
    ]
    client.jobs.download("j1", tmp_path, output_name="score")

    assert tree(tmp_path)["named-outputs/score/predictions.csv"] == SCORES
    assert "range" not in server.seen[-1 if server.seen[-1].path.endswith("predictions.csv") else -2].headers


def test_half_a_file_never_appears(client: Client, server: Server, ended: Any, tmp_path: Path) -> None:
    server.answers["GET /jobs/j1/files/score/predictions.csv"] = Reply(chunks=[SCORES[:300]])

    with pytest.raises(errors.ServerFailed, match="bytes came of 1000"):
        client.jobs.download("j1", tmp_path, output_name="score")

    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a//x", "a/./x", "x\0", ""])
def test_no_file_is_put_outside_the_folder(
    client: Client, server: Server, ended: Any, tmp_path: Path, name: str
) -> None:
    server.answers["GET /jobs/j1/files"] = {"value": [{"path": name, "size": 1}], "nextLink": None}

    with pytest.raises(errors.ServerFailed, match="leads out of the folder"):
        client.jobs.download("j1", tmp_path / "target", output_name="score")

    assert tree(tmp_path) == {}


def test_no_file_is_put_behind_a_link(client: Client, server: Server, ended: Any, tmp_path: Path) -> None:
    folder = tmp_path / "target" / "named-outputs" / "score"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (folder / "more").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(errors.ServerFailed, match="is a link"):
        client.jobs.download("j1", tmp_path / "target", output_name="score")

    assert os.listdir(tmp_path / "elsewhere") == []  # noqa: PTH208
