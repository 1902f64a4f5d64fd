"""Log records: how they are written, where they go, and which ones; set up once for a process.

A record is one line, without secrets and without control characters.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import stat
import sys
import time
from datetime import datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from eicctl import __version__
from eicctl.core.sanitize import printable
from eicctl.support import files
from eicctl.support.log import VARIABLE
from eicctl.support.redact import redact, register, register_url

LEVELS = {
    "eicctl": logging.DEBUG,
    "botocore": logging.WARNING,
    "botocore.credentials": logging.INFO,
    "boto3": logging.WARNING,
    "urllib3": logging.WARNING,
    "asyncssh": logging.INFO,
    "websockets": logging.WARNING,
    "asyncio": logging.WARNING,
}
"""What is let through, by logger. botocore at DEBUG would log each request with its signature and session token, and
each answer with what is in it, new credentials and passwords included. `aws/clients.py` logs what a report
needs."""

_log = logging.getLogger("eicctl")

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


class _Words(logging.Formatter):
    """The message alone."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(record.getMessage())


LARGEST = 2 * 2**20
KEPT = 2


class LogFile(WatchedFileHandler):
    """Writes to a file of this user alone (0600), as other processes do at the same time: a record is one write.

    `RotatingFileHandler` is for one process only: two of them would each rename the file under the other. Here a
    process locks a full file, and renames it unless another one just has; the others notice, and open the new one.
    What cannot be written is lost, and a warning is printed once.

    Args:
        path: The file. It is created with the first record.
        largest: Bytes after which a new file is begun.
        kept: How many older files are kept: `FILE.1` is the newest of them.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        super().__init__(path, encoding="utf-8", delay=True, errors="backslashreplace")
        self._largest = largest
        self._kept = kept
        self._warned = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            self.stream = self.stream or self._open()
            if os.fstat(self.stream.fileno()).st_size >= self._largest:
                self._rotate(self.stream.fileno())
                self.close()  # and unlock; the next line opens what is there now
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Warn, once."""
        error = sys.exc_info()[1]
        with contextlib.suppress(OSError):
            self.close()  # with what is still in its buffer
        if not self._warned:
            self._warned = True
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            with contextlib.suppress(OSError, ValueError, AttributeError):
                line = plain(f"warning: cannot write to the log file {self.baseFilename}: {reason}; continuing without")
                print(line, file=sys.stderr, flush=True)  # noqa: T201

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_opened)

    def _rotate(self, descriptor: int) -> None:
        """Give the full file another name, unless another process has just done so."""
        files.flock(descriptor)
        path = Path(self.baseFilename)
        # On Windows it cannot be renamed while another process has it open; it grows on then.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, self._kept + 1))]
                for newer, older in reversed(list(itertools.pairwise(names))):
                    if newer.exists():
                        newer.replace(older)


def _opened(path: str, flags: int) -> int:
    """Open a log file that nobody else can read.

    Raises:
        OSError: It cannot be opened, or belongs to another user.
    """
    # Not blocking: a FIFO without a reader must not stop the command.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o600)
    status = os.fstat(descriptor)
    if os.name == "posix" and stat.S_ISREG(status.st_mode):
        if status.st_uid != os.getuid():
            os.close(descriptor)
            raise OSError(0, "it belongs to another user")
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    return descriptor


class _State:
    """What is set up in this process."""

    stderr: logging.Handler | None = None
    file: LogFile | None = None
    started = 0.0


def begin(*, debug: bool, path: str, command: str) -> None:
    """Log to stderr, if `debug`, and to the file at `path`, if any; see `eicctl.support.log.configure`."""
    _register_environment()
    _let_through()
    before = (_State.stderr, _State.file)
    if debug:
        _to_stderr(logging.DEBUG, Lines())
    elif _State.stderr is None:
        # Without any handler, logging would write warnings there; with the file's alone it would not.
        _to_stderr(logging.WARNING, _Words())
    if path:
        _to_file(Path(os.path.abspath(files.expanded(path))))  # noqa: PTH100 - its links are to stay
    _State.started = _State.started or time.monotonic()
    for handler in (_State.stderr, _State.file):
        if handler and handler not in before and command:
            _announce(handler, command)


def background(path: Path) -> None:
    """Set a background process up: its own log at `path`, and what `configure` says for a command."""
    own = LogFile(path, largest=2**18, kept=1)
    own.setFormatter(Lines())
    own.setLevel(logging.INFO)
    logging.getLogger().addHandler(own)
    _let_through()
    _register_environment()
    from eicctl.support.log import configure

    configure(command="the background process")


def on() -> bool:
    """Whether anything is logged."""
    return bool(_State.started)


def debugging() -> bool:
    """Whether everything is logged on stderr."""
    return _State.stderr is not None and _State.stderr.level == logging.DEBUG


def failed(error: BaseException) -> None:
    """Log what the command fails with, and where."""
    _log.debug("failed", exc_info=error)


def ended(code: int) -> None:
    """Log the end of the command."""
    if _State.started:
        _log.info("ends with exit code %d after %.3f s", code, time.monotonic() - _State.started)


def _announce(handler: logging.Handler, command: str) -> None:
    """Write the first line."""
    python = ".".join(map(str, sys.version_info[:3]))
    text = f"eicctl {__version__}, Python {python}, {sys.platform}: {command} begins"
    record = logging.LogRecord("eicctl", logging.INFO, "", 0, text, None, None)
    if record.levelno >= handler.level:
        handler.handle(record)


def _to_stderr(level: int, formatter: logging.Formatter) -> None:
    if _State.stderr and _State.stderr.level <= level:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    handler.setFormatter(formatter)
    if _State.stderr:
        logging.getLogger().removeHandler(_State.stderr)
    logging.getLogger().addHandler(handler)
    _State.stderr = handler


def _to_file(path: Path) -> None:
    os.environ[VARIABLE] = str(path)  # for the proxies that OpenSSH starts, and for a background process
    if _State.file and _State.file.baseFilename == str(path):
        return
    handler = LogFile(path)
    handler.setFormatter(Lines())
    if _State.file:
        logging.getLogger().removeHandler(_State.file)
        _State.file.close()
    logging.getLogger().addHandler(handler)
    _State.file = handler


def _let_through() -> None:
    logging.raiseExceptions = False
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)


def _register_environment() -> None:
    """Register the secrets in the environment: any library may log them."""
    for name, value in os.environ.items():
        upper = name.upper()
        if upper.endswith("_PROXY"):
            register_url(value)
        elif upper in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "PGPASSWORD", "MYSQL_PWD"):
            register(value)
