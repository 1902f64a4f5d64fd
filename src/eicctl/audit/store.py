"""Events on disk, each once, in the order of time: however many there are, memory stays bounded.

CloudTrail delivers late, out of order, and sometimes twice; log files are in no order. SQLite sorts, which brings the
copies of an event together: an index of a million IDs would cost more than the rest of the store. A store with a path
is also the checkpoint of a lookup: it knows which spans are complete.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from eicctl.audit.records import End, Event, Launch, Principal
from eicctl.core.errors import LocalError

_CACHE_KIB = 16 * 1024
_EVENT = tuple(name for name in Event._fields if name != "principal")
_COLUMNS = (*_EVENT, *(f"principal_{name}" for name in Principal._fields))
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events ({", ".join(_COLUMNS)});
CREATE TABLE IF NOT EXISTS launches (
    instance TEXT, address TEXT, name TEXT, vpc TEXT, region TEXT, time REAL, UNIQUE (instance, address)
);
CREATE TABLE IF NOT EXISTS ends (instance TEXT PRIMARY KEY, time REAL);
CREATE TABLE IF NOT EXISTS spans (region TEXT, lookup TEXT, begins REAL, ends REAL);
"""
_INSERT = f"INSERT INTO events VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - our own names
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM events WHERE time >= ? AND time < ? ORDER BY time, id"  # noqa: S608 - same

Span = tuple[datetime, datetime]


class EventStore:
    """Events on disk. Safe to use from several threads; a context manager.

    Args:
        path: The file, created with mode 0600 if it does not exist; None for a temporary one.

    Raises:
        LocalError: The file cannot be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self.path = path
        with contextlib.ExitStack() as undo:
            try:
                if path:
                    path.touch(mode=0o600)
                # An empty name is a file of SQLite's own, which nobody else sees, and which goes with the connection.
                self._db = sqlite3.connect(str(path or ""), check_same_thread=False)
                undo.callback(self._db.close)
                self._db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
                self._db.execute("PRAGMA temp_store=FILE")
                if not path:
                    self._db.execute("PRAGMA journal_mode=OFF")
                    self._db.execute("PRAGMA synchronous=OFF")
                self._db.executescript(_SCHEMA)
                self._db.execute(_SELECT, (0, 0))  # fails for a file of another version
            except (OSError, sqlite3.Error) as error:
                raise LocalError(f"Cannot store events in {path or 'a temporary file'}: {error}") from error
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def discard(self) -> None:
        """Close the file and remove it."""
        self.close()
        if self.path:
            self.path.unlink(missing_ok=True)

    def add(self, events: Iterable[Event]) -> None:
        """Add events; those that are here already count once."""
        with self._writing() as db:
            db.executemany(_INSERT, map(_values, events))

    def add_lives(self, lives: Iterable[Launch | End]) -> None:
        """Add when instances were launched and terminated."""
        with self._writing() as db:
            for life in lives:
                values = (*life[:-1], life.time.timestamp())
                table = f"launches VALUES (?{', ?' * 5})" if isinstance(life, Launch) else "ends VALUES (?, ?)"
                db.execute(f"INSERT OR IGNORE INTO {table}", values)

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(DISTINCT id) FROM events").fetchone()[0])

    def events(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Event]:
        """Yield the events from `since` on, and before `until`, oldest first."""
        low = since.timestamp() if since else float("-inf")
        high = until.timestamp() if until else float("inf")
        with self._lock:
            found = self._db.execute(_SELECT, (low, high))
        last = None
        for values in found:
            if values[0] != last:
                last = values[0]
                yield _event(values)

    def bounds(self) -> Span | None:
        """The times of the first and the last event; None without events."""
        with self._lock:
            first, last = self._db.execute("SELECT min(time), max(time) FROM events").fetchone()
        return None if first is None else (_time(first), _time(last))

    def lives(self) -> list[Launch | End]:
        """When instances were launched, and terminated, with an address that an event names."""
        launches = "SELECT * FROM launches WHERE address IN (SELECT address FROM events) ORDER BY time"
        ends = "SELECT * FROM ends WHERE instance IN (SELECT instance FROM launches)"
        with self._lock:
            rows = self._db.execute(launches)
            found: list[Launch | End] = [Launch(*texts, _time(time)) for *texts, time in rows]  # type: ignore[call-arg]
            return found + [End(instance_id, _time(time)) for instance_id, time in self._db.execute(ends)]

    def addresses(self) -> set[tuple[str, str]]:
        """The regions and addresses that events name."""
        with self._lock:
            return set(self._db.execute("SELECT DISTINCT region, address FROM events WHERE address != ''"))

    # Spans of time that are complete

    def complete(self, region: str, lookup: str, span: Span) -> None:
        """Record that all events of a lookup in a span of time are here."""
        with self._writing() as db:
            db.execute("INSERT INTO spans VALUES (?, ?, ?, ?)", (region, lookup, *(time.timestamp() for time in span)))

    def missing(self, region: str, lookup: str, span: Span) -> list[Span]:
        """Return the parts of a span of time that are not complete, newest first."""
        query = "SELECT begins, ends FROM spans WHERE region = ? AND lookup = ? ORDER BY ends DESC"
        with self._lock:
            known = [(_time(low), _time(high)) for low, high in self._db.execute(query, (region, lookup))]
        begins, ends = span
        gaps: list[Span] = []
        for low, high in known:
            if high < begins or low > ends:
                continue
            if high < ends:
                gaps.append((high, ends))
            ends = min(ends, low)
        if ends > begins:
            gaps.append((begins, ends))
        return gaps

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._db:
                yield self._db
        except sqlite3.Error as error:
            raise LocalError(
                f"Cannot store events: {error}", hint="is the disk full? TMPDIR and EICCTL_HOME move it"
            ) from error


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _values(event: Event) -> tuple[object, ...]:
    """The columns of an event."""
    event_id, time, name, region, principal, *others = event
    return (event_id, time.timestamp(), name, region, *others, *principal)


def _event(values: tuple[Any, ...]) -> Event:
    event_id, time, name, region, *others = values[: len(_EVENT)]
    *texts, mfa = values[len(_EVENT) :]
    principal = Principal._make((*texts, None if mfa is None else bool(mfa)))
    return Event(event_id, _time(time), name, region, principal, *others)
