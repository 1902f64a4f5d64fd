"""From CloudTrail's log files, on disk or in S3, into the store. Records that do not match are skipped while reading.

Records from a CloudTrail log file, one after the other, however large the file is. Pure; no I/O of its own.

A log file is `{"Records": […]}`; what `aws cloudtrail lookup-events` prints is `{"Events": […]}`, with each record as a
text in `CloudTrailEvent`. Both are read, gzipped or not. One record is in memory at a time, and a piece of text around
it.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from eicctl.audit.filters import Choice
from eicctl.audit.records import End, Event, Launch, ends_of, event_of, launches_of
from eicctl.audit.store import EventStore
from eicctl.aws.cloudtrail import Object, list_objects, open_objects
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, NotFoundError, UsageError
from eicctl.support.documents import parse_json

PIECE = 256 * 1024
"""Bytes that are read at a time."""

LONGEST_RECORD = 16 * 2**20
"""Characters of a record from which on the file is taken for damaged; CloudTrail's largest are some 256 KiB."""

_START = re.compile(r'"(?:Records|Events)"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_LONGEST_HEAD = 64 * 1024


class Source(Protocol):
    """Something to read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class DamagedError(Exception):
    """A log file that ends too early or makes no sense; what came before has been given out."""


def records_in(source: Source) -> Iterator[Any]:
    """Yield the records of a log file.

    Raises:
        DamagedError: The file is cut off, or is no log file. The records before that have been yielded.
    """
    text = _Text(_decoded(source))
    if not text.find(_START, _LONGEST_HEAD):
        if text.whole().strip() in ("", "{}", "[]"):
            return
        raise DamagedError('it has no "Records"')
    decoder = json.JSONDecoder()
    while True:
        text.skip(_BETWEEN)
        if text.at("]"):
            return
        yield _unpacked(text.value(decoder))


def _unpacked(item: Any) -> Any:
    """The record in an item of LookupEvents; any other item as it is."""
    inner = item.get("CloudTrailEvent") if isinstance(item, dict) else None
    if not isinstance(inner, str):
        return item
    try:
        return parse_json(inner)
    except ValueError:
        return None


class _Text:
    """A window on a text that comes in pieces; it holds what has not been used yet."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._window = ""
        self._at = 0

    def find(self, pattern: re.Pattern[str], limit: int) -> bool:
        """Go behind the first match, which must begin within `limit` characters."""
        while True:
            if match := pattern.search(self._window):
                self._at = match.end()
                return True
            if len(self._window) > limit or not self._more():
                return False

    def whole(self) -> str:
        """What there is."""
        return self._window

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Go behind a match that may go on in the next piece, to a character that is there.

        Raises:
            DamagedError: The text ends before.
        """
        while True:
            match = pattern.match(self._window, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._window):
                return
            if not self._more():
                raise DamagedError("it is cut off")

    def at(self, character: str) -> bool:
        """Whether the next character is this one."""
        return self._window[self._at] == character

    def value(self, decoder: json.JSONDecoder) -> Any:
        """Take the JSON value that begins here.

        Raises:
            DamagedError: There is none, or not all of it.
        """
        while True:
            try:
                value, end = decoder.raw_decode(self._window, self._at)
            except RecursionError:
                raise DamagedError("a record is nested too deeply") from None
            except ValueError as error:
                if len(self._window) - self._at > LONGEST_RECORD:
                    raise DamagedError(f"a record makes no sense: {error}") from None
                if not self._more():
                    raise DamagedError("it is cut off, or a record makes no sense") from None
                continue
            # A number or a word at the end of the window may go on; records are objects, which do not.
            self._at = end
            return value

    def _more(self) -> bool:
        """Add as much as there is again, so that a long record is tried a few times only; False at the end."""
        kept = self._window[self._at :]
        added: list[str] = []
        wanted = max(len(kept), 1)
        while wanted > 0 and (piece := next(self._pieces, "")):
            added.append(piece)
            wanted -= len(piece)
        self._window, self._at = kept + "".join(added), 0
        return bool(added)


def _decoded(source: Source) -> Iterator[str]:
    """The text of a source, unpacked where it is gzipped, in pieces that are not empty."""
    first = source.read(PIECE)
    if len(first) == 1:  # too little to tell
        first += source.read(PIECE)
    unpack: Callable[[bytes], Iterator[bytes]] = _Gzip() if first[:2] == b"\x1f\x8b" else lambda data: iter((data,))
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    data = first
    while data:
        for plain in unpack(data):
            if text := decoder.decode(plain):
                yield text
        data = source.read(PIECE)
    if isinstance(unpack, _Gzip) and not unpack.complete:
        raise DamagedError("it is cut off")
    if text := decoder.decode(b"", final=True):
        yield text


class _Gzip:
    """Unpacks gzip members, one after the other, with no more than `PIECE` bytes of output at a time."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.complete = False

    def __call__(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._member.eof:
                    self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
                yield self._member.decompress(data, PIECE)
                data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
                self.complete = self._member.eof
        except zlib.error as error:
            raise DamagedError(f"it is no good gzip file: {error}") from None


BATCH = 1_000
"""Events that are kept before they go into the store together."""

_ENDINGS = (".json", ".json.gz")
_OTHER = re.compile(r"CloudTrail-(Digest|Insight)")
"""What CloudTrail puts beside log files."""

_DELIVERED = re.compile(r"_CloudTrail_[a-z0-9-]+_(\d{8}T\d{4})Z_")
"""CloudTrail's names of log files tell when they were delivered; all that is in one happened before."""


@dataclass(slots=True)
class Tally:
    """What has been read.

    Attributes:
        files: Log files.
        records: Records in them.
        skipped: Log files that are older than what is asked for, and were not opened.
        damaged: Log files that could not be read to their end.
    """

    files: int = 0
    records: int = 0
    skipped: int = 0
    damaged: list[str] = field(default_factory=list)


Opened = Iterator[tuple[str, Source | EicctlError]]


class Reader:
    """Reads log files into a store.

    Args:
        store: Where events go.
        choice: What is asked for.
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

    def read(self, session: Session, places: tuple[str, ...]) -> Tally:
        """Read all log files in some places: files, folders, or `s3://BUCKET/PREFIX`.

        Raises:
            NotFoundError: There is no such file, or no log file in a place.
            UsageError: A place names no bucket.
        """
        for place in places:
            before = self.tally.files + self.tally.skipped
            for name, source in self._opened(session, place):
                self._read_file(name, source)
            if self.tally.files + self.tally.skipped == before:
                raise NotFoundError(f"No log files in {place}", hint="log files end with .json or .json.gz")
        self._keep()
        return self.tally

    def _opened(self, session: Session, place: str) -> Opened:
        if place.startswith("s3://"):
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            if not bucket:
                raise UsageError(f"{place} has no bucket name", hint="s3://BUCKET/PREFIX")
            wanted = (found for found in list_objects(session, bucket, prefix) if self._wants_object(found))
            for found, source in open_objects(session, bucket, wanted):
                yield f"s3://{bucket}/{found.key}", source
            return
        for path in self._paths(Path(place)):
            try:
                file = path.open("rb")
            except OSError as error:
                yield str(path), EicctlError(str(error.strerror))
                continue
            with closing(file):
                yield str(path), file

    def _paths(self, place: Path) -> Iterator[Path]:
        if place.is_dir():
            for folder, folders, names in os.walk(place):
                folders.sort()
                yield from (Path(folder, name) for name in sorted(names) if self._wants(name))
        elif place.exists():
            yield place
        else:
            raise NotFoundError(f"File or folder {place} does not exist")

    def _wants_object(self, found: Object) -> bool:
        return bool(found.size) and self._wants(found.key)

    def _wants(self, name: str) -> bool:
        """Whether a file can have what is asked for, by its name."""
        if not name.endswith(_ENDINGS) or _OTHER.search(name):
            return False
        delivered = _DELIVERED.search(name)
        if delivered and self._choice.since:
            with suppress(ValueError):
                if datetime.strptime(delivered[1], "%Y%m%dT%H%M").replace(tzinfo=UTC) < self._choice.since:
                    self.tally.skipped += 1
                    return False
        return True

    def _read_file(self, name: str, source: Source | EicctlError) -> None:
        self.tally.files += 1
        try:
            if isinstance(source, EicctlError):
                raise source
            for record in records_in(source):
                self._take(record)
        except (DamagedError, EicctlError, OSError) as error:
            self.tally.damaged.append(name)
            why = error.message if isinstance(error, EicctlError) else str(error)
            self._warn(f"{name}: {why}; using the records before the error")

    def _take(self, record: Any) -> None:
        self.tally.records += 1
        if self.tally.records % 10_000 == 0:
            self._say(f"{self.tally.records} records of {self.tally.files} files")
        if (event := event_of(record)) and self._choice.may_need(event):
            self._events.append(event)
        else:
            self._lives.extend(launches_of(record))
            self._lives.extend(ends_of(record))
        if len(self._events) + len(self._lives) >= BATCH:
            self._keep()

    def _keep(self) -> None:
        self._store.add(self._events)
        self._store.add_lives(self._lives)
        self._events, self._lives = [], []
