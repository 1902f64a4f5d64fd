"""Where records go, and which ones: set up once for a process."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from eicctl import __version__
from eicctl.support import files
from eicctl.support.log import VARIABLE
from eicctl.support.log_file import Lines, LogFile, plain
from eicctl.support.redact import register, register_url

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
each answer with what is in it, new credentials and passwords included. `aws/request_log.py` logs what a report
needs."""

_log = logging.getLogger("eicctl")


class _State:
    """What is set up in this process."""

    stderr: logging.Handler | None = None
    file: LogFile | None = None
    started = 0.0


class _Stderr(logging.StreamHandler[TextIO]):
    """Records on stderr, where that is still open."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the record: there is nowhere to say so."""


class _Words(logging.Formatter):
    """The message alone."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(record.getMessage())


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
    handler = _Stderr(sys.stderr)
    handler.setLevel(level)
    handler.setFormatter(formatter)
    if _State.stderr:
        logging.getLogger().removeHandler(_State.stderr)
    logging.getLogger().addHandler(handler)
    _State.stderr = handler


def _to_file(path: Path) -> None:
    os.environ[VARIABLE] = str(path)  # for the proxies that OpenSSH starts, and for a background process
    if _State.file and _State.file.path == path:
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
    """Know the secrets that the environment holds, whoever comes to log them."""
    for name, value in os.environ.items():
        upper = name.upper()
        if upper.endswith("_PROXY"):
            register_url(value)
        elif upper in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "PGPASSWORD", "MYSQL_PWD"):
            register(value)
