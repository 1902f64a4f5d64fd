"""The log file: its lines, its mode, its size, several writers, and disks that are full."""

from __future__ import annotations

import logging
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eicctl.support.logging_setup import LONGEST, Lines, LogFile

Log = Callable[..., logging.Logger]


@pytest.fixture
def logger_to() -> Iterator[Log]:
    """Makes a logger that writes to a file and nowhere else."""
    made: list[LogFile] = []

    def make(path: Path, **settings: int) -> logging.Logger:
        handler = LogFile(path, **settings)
        handler.setFormatter(Lines())
        made.append(handler)
        logger = logging.Logger("eicctl.test", logging.DEBUG)
        logger.addHandler(handler)
        return logger

    yield make
    for handler in made:
        handler.close()


def test_a_line(tmp_path: Path, logger_to: Log) -> None:
    logger_to(tmp_path / "log").info("opened %s", "web-1")
    line = (tmp_path / "log").read_text()
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}[+-]\d\d:\d\d {os.getpid()} INFO eicctl.test: opened web-1\n", line
    )


def test_foreign_text_can_neither_steer_a_terminal_nor_forge_a_line(tmp_path: Path, logger_to: Log) -> None:
    logger_to(tmp_path / "log").info("closed: %s", "bye\x1b[2J\r\n2026-01-01 forged\u202e\u2028end")
    text = (tmp_path / "log").read_text()
    assert text.count("\n") == 1
    assert r"bye\x1b[2J\r\n2026-01-01 forged\u202e\u2028end" in text


def test_a_traceback_has_no_secret_and_each_line_its_head(tmp_path: Path, logger_to: Log) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
    try:
        raise ValueError(f"cannot read {key}\n2026-01-01 forged")
    except ValueError:
        logger_to(tmp_path / "log").exception("failed")
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) > 3
    assert all(re.match(r"\d{4}-\S+ \d+ ERROR eicctl.test:", line) for line in lines)
    assert all(" | " in line for line in lines[1:])
    assert "MIIE" not in "".join(lines)


def test_a_long_message_is_cut_after_its_secrets_are_gone(tmp_path: Path, logger_to: Log) -> None:
    logger_to(tmp_path / "log").info("%s", "x" * (LONGEST - 12) + "password=hidden-one" + "y" * 100)
    text = (tmp_path / "log").read_text()
    assert "hidden" not in text
    assert "more characters)" in text


def test_the_file_is_the_users_alone(tmp_path: Path, logger_to: Log) -> None:
    old = tmp_path / "old"
    old.write_text("earlier\n")
    old.chmod(0o644)
    previous = os.umask(0)
    try:
        for path in (tmp_path / "new", old):
            logger_to(path, largest=300).info("x")
            for number in range(20):
                logger_to(path, largest=300).info("message %d", number)
    finally:
        os.umask(previous)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("new", "new.1", "new.2", "old", "old.1", "old.2"), 0o600)


def test_older_files_are_kept_and_the_oldest_go(tmp_path: Path, logger_to: Log) -> None:
    log = logger_to(tmp_path / "log", largest=400, kept=1)  # and one record more
    for number in range(50):
        log.info("message %d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert all(path.stat().st_size <= 500 for path in tmp_path.iterdir())
    text = (tmp_path / "log.1").read_text() + (tmp_path / "log").read_text()
    numbers = [int(found) for found in re.findall(r"message (\d+)", text)]
    assert numbers == list(range(numbers[0], 50))


WRITER = """
import logging, sys
from pathlib import Path
from eicctl.support.logging_setup import Lines, LogFile
handler = LogFile(Path(sys.argv[1]), largest=20_000, kept=30)
handler.setFormatter(Lines())
log = logging.getLogger("w")
log.addHandler(handler)
log.setLevel(10)
for number in range(500):
    log.info("message %s-%d", sys.argv[2], number)
"""


def test_several_processes_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abcd"]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    text = "".join(found.read_text() for found in tmp_path.iterdir())
    assert sorted(re.findall(r"message (\S+)\n", text)) == sorted(f"{n}-{i}" for n in "abcd" for i in range(500))
    assert len(list(tmp_path.iterdir())) > 4
    assert all(line.startswith("20") for line in text.splitlines())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_warned_of_once(logger_to: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log = logger_to(Path("/dev/full"))
    log.info("one")
    log.info("two")
    told = capsys.readouterr()
    assert told.err.count("warning: cannot write to the log file /dev/full: No space left on device") == 1
    assert told.err.count("\n") == 1
    assert not told.out


def test_a_folder_that_is_not_there(tmp_path: Path, logger_to: Log, capsys: pytest.CaptureFixture[str]) -> None:
    logger_to(tmp_path / "no" / "log").info("one")
    assert "No such file or directory; continuing without" in capsys.readouterr().err


def test_a_fifo_that_nobody_reads_holds_nothing_up(
    tmp_path: Path, logger_to: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    logger_to(tmp_path / "fifo").info("one")
    assert "cannot write to the log file" in capsys.readouterr().err


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_the_file_of_another_user_is_left_alone(
    tmp_path: Path, logger_to: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    path.touch()
    os.chown(path, 12345, -1)
    logger_to(path).info("one")
    assert "it belongs to another user" in capsys.readouterr().err
    assert path.read_text() == ""


def test_a_record_that_cannot_be_formatted_breaks_nothing(
    tmp_path: Path, logger_to: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logger_to(tmp_path / "log")
    log.info("%d", "no number")
    log.info("next")
    assert "TypeError" in capsys.readouterr().err
    assert "next" in (tmp_path / "log").read_text()
