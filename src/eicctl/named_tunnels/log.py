"""The logs of named tunnels: a file each, in the state folder, that does not grow without end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from eicctl.core.errors import LocalError
from eicctl.support import settings
from eicctl.support.log_file import LogFile, plain

LARGEST = 2**18
"""Bytes after which a log begins anew; one older one is kept."""

_POLL = 0.3


def log_file(name: str) -> Path:
    """Return the log of a tunnel; it need not exist."""
    return settings.private(settings.state_dir() / "tunnels") / f"{name}.log"


class Journal:
    """Writes the logs of tunnels. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[str, logging.Handler] = {}

    def write(self, name: str, text: str) -> None:
        """Add a line to the log of a tunnel. What cannot be written is not: the tunnel goes on."""
        with self._lock:
            if name not in self._handlers:
                try:
                    self._handlers[name] = _handler(name)
                except (OSError, LocalError):
                    return
            handler = self._handlers[name]
        record = logging.LogRecord("eicctl.tunnel", logging.INFO, "", 0, plain(" ".join(text.splitlines())), None, None)
        handler.handle(record)

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for handler in self._handlers.values():
                handler.close()
            self._handlers.clear()


def last_lines(name: str, count: int) -> list[str]:
    """Return the last lines of a tunnel's log.

    Raises:
        FileNotFoundError: It has none.
    """
    path = log_file(name)
    older = path.with_name(f"{path.name}.1")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < count and older.exists():
        lines = older.read_text(encoding="utf-8", errors="replace").splitlines() + lines
    return lines[-count:] if count else []


def followed(name: str) -> Iterator[str]:
    """Yield the lines that are added to a tunnel's log from now on, without end."""
    path = log_file(name)
    while not path.exists():
        time.sleep(_POLL)
    file = path.open(encoding="utf-8", errors="replace")
    file.seek(0, 2)
    try:
        while True:
            if line := file.readline():
                yield line.rstrip("\n")
                continue
            time.sleep(_POLL)
            if path.exists() and path.stat().st_size < file.tell():  # it has begun anew
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
    finally:
        file.close()


def _handler(name: str) -> logging.Handler:
    handler = LogFile(log_file(name), largest=LARGEST, kept=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    return handler
