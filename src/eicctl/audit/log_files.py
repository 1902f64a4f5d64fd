"""From CloudTrail's log files, on disk or in S3, into the store; records that do not match are skipped while reading.

A log file is `{"Records": […]}`; what `aws cloudtrail lookup-events` prints is `{"Events": […]}`, with each record as a
text in `CloudTrailEvent`. Both are read, gzipped or not, however large: one record at a time is in memory, with a piece
of text around it.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eicctl.audit.filters import Choice
from eicctl.audit.records import END, EVENT_NAMES, LAUNCH, End, Event, Launch, ends_of, event_of, launches_of
from eicctl.audit.store import EventStore
from eicctl.aws.cloudtrail import Readable, list_objects, open_objects
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, NotFoundError, UsageError
from eicctl.support.bare import parse_json

PIECE = 256 * 1024
"""Bytes that are read at a time."""

LONGEST_RECORD = 16 * 2**20
"""Maximum characters of a record; a longer one is damage. CloudTrail's largest are some 256 KiB."""

_START = re.compile(r'"(?:Records|Events)"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_LONGEST_HEAD = 64 * 1024


class DamagedError(Exception):
    """A log file that ends too early or cannot be parsed. The records before the damage have been yielded."""


def records_in(source: Readable) -> Iterator[Any]:
    """Yield the records of a log file.

    Raises:
        DamagedError: The file is cut off, or is not a log file. The records before that have been yielded.
    """
    pieces, window = _decoded(source), ""
    while not (start := _START.search(window)):
        piece = next(pieces, "")
        if len(window) > _LONGEST_HEAD or not piece:
            if window.strip() in ("", "{}", "[]"):
                return
            raise DamagedError('it has no "Records"')
        window += piece
    decoder, at = json.JSONDecoder(), start.end()
    while True:
        if between := _BETWEEN.match(window, at):
            at = between.end()
        if window[at : at + 1] == "]":
            return
        try:
            value, at = decoder.raw_decode(window, at)
        except RecursionError:
            raise DamagedError("a record is nested too deeply") from None
        except ValueError as error:
            rest = window[at:]
            if len(rest) > LONGEST_RECORD:
                raise DamagedError(f"a record is invalid: {error}") from None
            if not (more := _at_least(pieces, len(rest))):
                raise DamagedError("it is cut off, or a record is invalid" if rest else "it is cut off") from None
            window, at = rest + more, 0
        else:
            yield _unpacked(value)


def _at_least(pieces: Iterator[str], size: int) -> str:
    """As much text again as there is, so that a long record is parsed a few times only."""
    found: list[str] = []
    while size >= 0 and (piece := next(pieces, "")):
        found.append(piece)
        size -= len(piece)
    return "".join(found)


def _unpacked(item: Any) -> Any:
    """The record in an item of LookupEvents; any other item as it is."""
    inner = item.get("CloudTrailEvent") if isinstance(item, dict) else None
    if not isinstance(inner, str):
        return item
    try:
        return parse_json(inner)
    except ValueError:
        return None


class _Raw(io.RawIOBase):
    """A source as a file of Python's io module."""

    def __init__(self, source: Readable) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        if len(data) == 1:  # too little to recognize gzip
            data += self._source.read(len(buffer) - 1)
        buffer[: len(data)] = data
        return len(data)


def _decoded(source: Readable) -> Iterator[str]:
    """The text of a source, decompressed if it is gzipped, in pieces that are not empty."""
    plain = io.BufferedReader(_Raw(source), PIECE)
    stream = gzip.GzipFile(fileobj=plain) if plain.peek(2)[:2] == b"\x1f\x8b" else plain
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    try:
        while data := stream.read1(PIECE):
            if text := decoder.decode(data):
                yield text
    except EOFError:
        raise DamagedError("it is cut off") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DamagedError(f"it is not a valid gzip file: {error}") from None
    if text := decoder.decode(b"", final=True):
        yield text


BATCH = 1_000
"""Events that are written to the store together."""

_ENDINGS = (".json", ".json.gz")
_OTHER = re.compile(r"CloudTrail-(Digest|Insight)")
"""Other files that CloudTrail writes beside log files."""

_DELIVERED = re.compile(r"_CloudTrail_[a-z0-9-]+_(\d{8}T\d{4})Z_")
"""CloudTrail's names of log files have the time of delivery, which is after all events in one."""


@dataclass(slots=True)
class Tally:
    """The numbers of log files and of records in them; of files `skipped` as too old; and the `damaged` files."""

    files: int = 0
    records: int = 0
    skipped: int = 0
    damaged: list[str] = field(default_factory=list)


Opened = Iterator[tuple[str, Readable | EicctlError]]


class Reader:
    """Puts the records of log files, or from elsewhere, into a store.

    Args:
        store: Where events go.
        choice: The filters.
        say: Called with the progress.
        warn: Called with the files that are truncated or malformed.
    """

    def __init__(
        self, store: EventStore, choice: Choice, say: Callable[[str], None], warn: Callable[[str], None]
    ) -> None:
        self.tally = Tally()
        self._store = store
        self._choice = choice
        self._say = say
        self._warn = warn
        self._events: list[Event] = []
        self._lives: list[Launch | End] = []

    def read(self, session: Session, paths: tuple[str, ...]) -> Tally:
        """Read all log files of files, folders, or `s3://BUCKET/PREFIX`.

        Raises:
            NotFoundError: A path does not exist, or has no log files.
            UsageError: A bucket has no name.
        """
        for path in paths:
            before = self.tally.files + self.tally.skipped
            for name, source in self._opened(session, path):
                self._read_file(name, source)
            if self.tally.files + self.tally.skipped == before:
                raise NotFoundError(f"No log files in {path}", hint="log files end with .json or .json.gz")
        self._store_batch()
        return self.tally

    def add(self, records: Iterable[Any]) -> Tally:
        """Take records from elsewhere, each as its JSON has it."""
        for record in records:
            self._take(record)
        self._store_batch()
        return self.tally

    def _opened(self, session: Session, path: str) -> Opened:
        if path.startswith("s3://"):
            bucket, _, prefix = path.removeprefix("s3://").partition("/")
            if not bucket:
                raise UsageError(f"{path} has no bucket name", hint="s3://BUCKET/PREFIX")
            objects = (each for each in list_objects(session, bucket, prefix) if each.size and self._wants(each.key))
            for found, source in open_objects(session, bucket, objects):
                yield f"s3://{bucket}/{found.key}", source
            return
        for file in self._files(Path(path)):
            try:
                # Buffered, a read of a pipe would be several, and Ctrl-C between two of them would wait for the next.
                stream = file.open("rb", buffering=0)
            except OSError as error:
                yield str(file), EicctlError(str(error.strerror))
                continue
            with closing(stream):
                yield str(file), stream

    def _files(self, path: Path) -> Iterator[Path]:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                yield from (Path(folder, name) for name in sorted(names) if self._wants(name))
        elif path.exists():
            yield path
        else:
            raise NotFoundError(f"File or folder {path} does not exist")

    def _wants(self, name: str) -> bool:
        """Whether a file may have matching events, by its name."""
        if not name.endswith(_ENDINGS) or _OTHER.search(name):
            return False
        delivered = _DELIVERED.search(name)
        if delivered and self._choice.since:
            with suppress(ValueError):
                if datetime.strptime(delivered[1], "%Y%m%dT%H%M").replace(tzinfo=UTC) < self._choice.since:
                    self.tally.skipped += 1
                    return False
        return True

    def _read_file(self, name: str, source: Readable | EicctlError) -> None:
        self.tally.files += 1
        try:
            if isinstance(source, EicctlError):
                raise source
            self.add(records_in(source))
        except (DamagedError, EicctlError, OSError) as error:
            self.tally.damaged.append(name)
            why = error.message if isinstance(error, EicctlError) else str(error)
            self._warn(f"{name}: {why}; using the records before the error")

    def _take(self, record: Any) -> None:
        self.tally.records += 1
        if self.tally.records % 10_000 == 0:
            self._say(f"files: {self.tally.files:,}; records: {self.tally.records:,}")
        name = record.get("eventName") if isinstance(record, dict) else None
        if name in EVENT_NAMES:
            if (event := event_of(record)) and self._choice.may_need(event):
                self._events.append(event)
        elif name in (LAUNCH, END):
            self._lives.extend(launches_of(record))
            self._lives.extend(ends_of(record))
        else:
            return
        if len(self._events) + len(self._lives) >= BATCH:
            self._store_batch()

    def _store_batch(self) -> None:
        self._store.add(self._events)
        self._store.add_lives(self._lives)
        self._events, self._lives = [], []
