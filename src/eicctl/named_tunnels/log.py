"""The logs of named tunnels: a file of events each (JSON, one a line), which does not grow without end."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from eicctl.core.errors import LocalError
from eicctl.core.events import TunnelEvent
from eicctl.support import paths
from eicctl.support.bare import parse_json
from eicctl.support.logging_setup import LogFile, plain

LARGEST = 2**18
"""Bytes after which a log begins anew; one older one is kept."""

_POLL = 0.3


def log_file(name: str) -> Path:
    """Return the log of a tunnel; it need not exist."""
    return paths.private(paths.state_dir() / "tunnels") / f"{name}.log"


class TunnelLogs:
    """Writes the logs of tunnels. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handlers: dict[str, logging.Handler] = {}

    def write(self, name: str, event: TunnelEvent) -> None:
        """Add an event to the log of a tunnel. What cannot be written is not: the tunnel goes on."""
        try:
            with self._lock:
                if name not in self._handlers:
                    self._handlers[name] = LogFile(log_file(name), largest=LARGEST, kept=1)
                handler = self._handlers[name]
        except (OSError, LocalError):
            return
        line = json.dumps(_plain(event.to_json()))
        handler.handle(logging.LogRecord("eicctl.tunnel", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for handler in self._handlers.values():
                handler.close()
            self._handlers.clear()


def last_events(name: str, count: int) -> list[TunnelEvent]:
    """Return the last events of a tunnel's log.

    Raises:
        FileNotFoundError: It has none.
    """
    path = log_file(name)
    older = path.with_name(f"{path.name}.1")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < count and older.exists():
        lines = older.read_text(encoding="utf-8", errors="replace").splitlines() + lines
    return [event for line in (lines[-count:] if count else []) if (event := _read(line))]


def followed(name: str) -> Iterator[TunnelEvent]:
    """Yield the events that are added to a tunnel's log from now on, without end."""
    path = log_file(name)
    while not path.exists():
        time.sleep(_POLL)
    file = path.open(encoding="utf-8", errors="replace")
    file.seek(0, 2)
    try:
        while True:
            if line := file.readline():
                if event := _read(line):
                    yield event
                continue
            time.sleep(_POLL)
            if path.exists() and path.stat().st_size < file.tell():  # it has begun anew
                file.close()
                file = path.open(encoding="utf-8", errors="replace")
    finally:
        file.close()


def _plain(value: object) -> object:
    """Return a JSON value without secrets and control characters in its texts."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return plain(" ".join(value.splitlines())) if isinstance(value, str) else value


def _read(line: str) -> TunnelEvent | None:
    """Return the event of a line; None if it holds none, as where it was written while the file began anew."""
    try:
        return TunnelEvent.from_json(parse_json(line))
    except (ValueError, TypeError, AttributeError):
        return None
