"""A log file that several processes write at the same time.

`logging.handlers.RotatingFileHandler` is for one process only: two of them would each rename the file under the other.
Here a record is one write at the file's end, and who wants to rename the file first locks it and looks whether it still
is the file.

The lines of the log: one for each record, without secrets and without control characters.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
from datetime import datetime
from pathlib import Path

from eicctl.core.sanitize import printable
from eicctl.support.redact import redact

LONGEST = 8192
"""Most characters of a message; the rest is counted."""


class Lines(logging.Formatter):
    """`TIME PID LEVEL LOGGER: MESSAGE`, and a line of its own for each line of a traceback, after `|`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines, without an end of line."""
        moment = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        head = f"{moment} {record.process} {record.levelname} {record.name}:"
        lines = [f"{head} {plain(record.getMessage())}"]
        if record.exc_info:
            # Redacted before it is split: a private key has several lines.
            traceback = redact(self.formatException(record.exc_info))
            shown = [line for line in traceback.splitlines() if line.strip(" ^~")]
            lines += [f"{head} | {_cut(printable(line, keep=''))}" for line in shown]
        return "\n".join(lines)


def plain(text: str) -> str:
    """Return a text as one line without secrets."""
    return _cut(printable(redact(text), keep="\t"))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST} more characters)"


LARGEST = 2 * 2**20
KEPT = 2


class LogFile(logging.Handler):
    """Writes to a file of this user alone (0600). What cannot be written is lost, and a warning says so once.

    Args:
        path: The file. It is made with the first record.
        largest: Bytes after which a new file is begun.
        kept: How many older files are kept: `FILE.1` is the newest of them.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        super().__init__()
        self.path = path
        self._largest = largest
        self._kept = kept
        self._descriptor = -1
        self._warned = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            data = f"{self.format(record)}\n".encode(errors="backslashreplace")
            self._append(data)
        except OSError as error:
            self._warn(error.strerror or str(error))
        except Exception as error:  # a record that cannot be formatted must not stop what it tells of
            self._warn(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the file."""
        with self.lock or contextlib.nullcontext():
            self._let_go()
        super().close()

    def _append(self, data: bytes) -> None:
        if self._descriptor < 0 or not self._is_current():
            self._open()
        status = os.fstat(self._descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size and status.st_size + len(data) > self._largest:
            self._rotate()
            self._open()
        written = os.write(self._descriptor, data)
        if written < len(data):
            raise OSError(0, "the disk is full")

    def _open(self) -> None:
        self._let_go()
        # Not blocking: a FIFO without a reader must not stop the command.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(self.path, flags, 0o600)
        try:
            self._check(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _check(self, descriptor: int) -> None:
        """Make sure that nobody else can read the file."""
        status = os.fstat(descriptor)
        if os.name != "posix" or not stat.S_ISREG(status.st_mode):
            return
        if status.st_uid != os.getuid():
            raise OSError(0, "it belongs to another user")
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)

    def _is_current(self) -> bool:
        """Whether the path still leads to the open file; another process may have renamed it."""
        try:
            found, mine = self.path.stat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

    def _rotate(self) -> None:
        """Give the full file another name, unless another process has just done so."""
        with contextlib.suppress(ImportError):  # Windows
            import fcntl

            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        if self._is_current():
            # On Windows it cannot be renamed while another process has it open; it grows on then.
            with contextlib.suppress(PermissionError):
                for number in range(self._kept, 0, -1):
                    older = self._numbered(number - 1)
                    if older.exists():
                        older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)  # ends the lock, too
            self._descriptor = -1

    def _warn(self, why: str) -> None:
        if self._warned:
            return
        self._warned = True

        with contextlib.suppress(OSError, ValueError, AttributeError):
            line = plain(f"warning: the log file {self.path} cannot be written: {why}; the command goes on without")
            print(line, file=sys.stderr, flush=True)  # noqa: T201
