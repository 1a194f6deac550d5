from __future__ import annotations

from pathlib import Path

import pytest

from gristmill import versions
from gristmill.errors import Mistake
from gristmill_storage.files import open_store
from gristmill_storage.workspace import Workspace, protocol


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(open_store(str(tmp_path)))


def told(workspace: Workspace) -> int:
    return int(workspace.documents(protocol.COLLECTION).get(protocol.NAME).body["protocol"])


def keep(workspace: Workspace, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PROTOCOL", number)
    protocol.keep(workspace)


def test_a_workspace_tells_the_newest_protocol_that_kept_it(workspace, monkeypatch) -> None:
    seen = []
    for number in (3, 4, 3, 5, 4):
        keep(workspace, number, monkeypatch)
        seen.append(told(workspace))

    assert seen == [3, 4, 4, 5, 5]


def test_a_server_that_is_more_than_one_protocol_behind_keeps_away(workspace, monkeypatch) -> None:
    keep(workspace, 5, monkeypatch)

    with pytest.raises(
        Mistake, match=r"\(protocol 5\), and this one is .* \(protocol 3\): upgrade this server"
    ) as refused:
        keep(workspace, 3, monkeypatch)
    assert workspace.url in refused.value.message
    assert told(workspace) == 5


def test_no_workspace_is_too_old(workspace, monkeypatch) -> None:
    keep(workspace, 1, monkeypatch)
    keep(workspace, 9, monkeypatch)

    assert told(workspace) == 9
