"""The file of recent connections: private, bounded, whole, and whatever is in it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from eicctl.core.errors import LocalError
from eicctl.support import recents


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path / "eicctl"))
    return tmp_path / "eicctl" / "state"


def connect(target: str, command: str = "ssh", *, failed: bool = False) -> None:
    connection = recents.Connection(command, target, instance_id="", profile=None, region="us-east-1", user="u")
    connection.failed = failed
    connection.end()


def names() -> list[str]:
    return [each.target for each in recents.recent()]


def test_the_last_one_is_first_and_failures_are_none(state: Path) -> None:
    assert names() == []
    for target in ("a", "b"):
        connect(target)
    connect("c", failed=True)
    still_open = recents.Connection("tunnel", "d", instance_id="i-1", profile="p", region="r", user="")
    assert names() == ["d", "b", "a"]
    first = recents.recent()[0]
    assert (first.word, first.profile, first.region, first.seconds) == ("i-1", "p", "r", None)
    still_open.end()
    assert recents.recent()[0].seconds is not None
    assert (state / "recent.jsonl").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700


def test_the_last_one_is_of_the_commands_kind() -> None:
    connect("web-1")
    connect("orders", recents.DATABASE)
    assert getattr(recents.last("ssh"), "target", "") == "web-1"
    assert getattr(recents.last(recents.DATABASE), "target", "") == "orders"


def test_the_file_is_bounded(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recents, "LARGEST", 5000)
    monkeypatch.setattr(recents, "MOST", 10)
    for number in range(200):
        connect(f"web-{number}")
        assert (state / "recent.jsonl").stat().st_size < 6000
    assert names()[:10] == [f"web-{number}" for number in range(199, 189, -1)]


def test_several_write_at_once(state: Path) -> None:
    def connect_often(number: int) -> None:
        for place in range(20):
            connect(f"{number}-{place}")

    threads = [threading.Thread(target=connect_often, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names()) == sorted(f"{n}-{i}" for n in range(8) for i in range(20))


@pytest.mark.parametrize(
    "line",
    [
        *("", "{", "[]", "null", "{}", '{"Id": 1}', '{"Id": "x", "Seconds": 1}', '{"Id": "x", "Failed": true}'),
        *("\x00\xff", "[" * 9999),
        json.dumps({"Id": "x", "StartedAt": "soon", "Command": 1, "Target": {}, "InstanceId": None}),
    ],
)
def test_what_is_no_such_line_is_skipped(state: Path, line: str) -> None:
    connect("before")
    with (state / "recent.jsonl").open("a") as file:
        file.write(f"{line}\n")
    connect("after")
    assert names() == ["after", "before"]


def test_where_nothing_can_be_written_nothing_is_noted(state: Path) -> None:
    state.mkdir(parents=True, mode=0o700)
    (state / "elsewhere").write_text("")
    (state / "recent.jsonl").symlink_to(state / "elsewhere")
    connect("a")
    assert (state / "elsewhere").read_text() == ""
    recents.clear()
    connect("b")
    assert names() == ["b"]
    recents.clear()
    assert names() == []
    (state / "recent.jsonl").mkdir()
    connect("c")
    assert names() == []
    with pytest.raises(LocalError, match="Cannot remove"):
        recents.clear()
