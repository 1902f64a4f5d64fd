"""From CloudTrail's log files, on disk or in S3, into the store. What is not asked for is left out while reading."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eicctl.audit.filters import Choice
from eicctl.audit.log_reader import DamagedError, Source, records_in
from eicctl.audit.records import End, Event, Launch, ends_of, event_of, launches_of
from eicctl.audit.store import EventStore
from eicctl.aws.s3 import Object, list_objects, open_objects
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, NotFoundError, UsageError

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
        say: Is told how far it is.
        warn: Is told of files that cannot be read to their end.
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
                raise NotFoundError(f"there is no log file in {place}", hint="log files end with .json or .json.gz")
        self._keep()
        return self.tally

    def _opened(self, session: Session, place: str) -> Opened:
        if place.startswith("s3://"):
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            if not bucket:
                raise UsageError(f"{place} names no bucket", hint="s3://BUCKET/PREFIX")
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
            raise NotFoundError(f"there is no file or folder {place}")

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
            self._warn(f"{name}: {why}; what comes before is used")

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
