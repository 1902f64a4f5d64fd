"""Parts of a login: the remote command of --keep, the user's settings, rights of key files on Windows, files."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from eicctl.core.errors import DurationReachedError, LocalError, NetworkError, UsageError
from eicctl.ssh.keys import icacls
from eicctl.ssh.process import Outcome
from eicctl.ssh.reconnect import keep, lost, remote_command
from eicctl.support import files


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a.b", "$(x)", "-"])
def test_a_session_has_a_plain_name(name: str) -> None:
    if name == "-":
        assert "new-session -A -s -" in remote_command(name, [])
        return
    with pytest.raises(UsageError, match="session"):
        remote_command(name, [])


def test_without_tmux_and_screen_the_command_runs_anyway(tmp_path: Path) -> None:
    sh = next(path for path in ("/bin/sh", "/usr/bin/sh") if Path(path).exists())
    (tmp_path / "sh").symlink_to(sh)
    done = subprocess.run(
        [sh, "-c", remote_command("s", ["echo", "its", "here"])],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "its here\n"
    assert "neither tmux nor screen" in done.stderr


def test_quotes_reach_the_session() -> None:
    words = shlex.split(remote_command("s", ["echo 'a b'"]))
    assert words[:3] == ["exec", "sh", "-c"]
    assert """tmux new-session -A -s s 'echo '"'"'a b'"'"''""" in words[3]


def outcome(code: int, *errors: Exception, lived: float = 5.0) -> Outcome:
    return Outcome(code, "", tuple(errors), lived)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (outcome(0), False),
        (outcome(255), False),
        (outcome(255, DurationReachedError("x")), True),
        (outcome(255, NetworkError("x")), True),
        (outcome(255, NetworkError("x"), lived=0), False),
        (outcome(3, DurationReachedError("x")), False),
    ],
)
def test_what_counts_as_lost(found: Outcome, expected: bool) -> None:
    assert (lost(found) is not None) == expected


def test_a_lost_connection_is_made_again_until_it_ends_well() -> None:
    said: list[str] = []
    tries: Iterator[Outcome | Exception] = iter(
        [
            outcome(255, DurationReachedError("over")),
            NetworkError("no network", transient=True),
            outcome(255, NetworkError("broke")),
            outcome(7),
        ]
    )

    def connect() -> Outcome:
        following = next(tries)
        if isinstance(following, Exception):
            raise following
        return following

    assert keep(connect, "web-1", said.append).code == 7
    assert len(said) == 3
    assert "web-1" in said[0]


def test_a_failure_that_stays_ends_it() -> None:
    tries: Iterator[Outcome | Exception] = iter([outcome(255, DurationReachedError("over")), UsageError("no")])

    def connect() -> Outcome:
        following = next(tries)
        if isinstance(following, Exception):
            raise following
        return following

    with pytest.raises(UsageError):
        keep(connect, "web-1", lambda _: None)


def test_windows_rights() -> None:
    words = icacls(Path("key"), {"USERNAME": "ann", "USERDOMAIN": "CORP"})
    assert words == ["icacls", "key", "/inheritance:r", "/grant:r", "CORP\\ann:(F)"]
    assert icacls(Path("key"), {"USERNAME": "ann"})[-1] == "ann:(F)"
    with pytest.raises(LocalError, match="USERNAME"):
        icacls(Path("key"), {})


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(real)
    files.write_whole(link, "new\r\n")
    assert link.is_symlink()
    assert real.read_bytes() == b"new\r\n"
    assert files.read_text(link) == "new\r\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="Cannot write"):
        files.write_whole(tmp_path / "none" / "file", "x")
    assert files.read_text(tmp_path / "none" / "file") == ""


def test_bytes_that_are_no_utf_8_survive(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"Host \xff\n")
    files.write_whole(path, files.read_text(path))
    assert path.read_bytes() == b"Host \xff\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208
