"""From CloudTrail's event history into the store: what is asked, in which order, and what an interruption leaves.

New events as they come.

CloudTrail delivers late and out of order: each look goes back a while, and knows what it has seen.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from eicctl.audit.correlation import AFTER, BEFORE, AddressHolder, Directory, KnownEndpoint, Row, joined
from eicctl.audit.filters import Choice
from eicctl.audit.records import CHANGES, END, LAUNCH, Event, ends_of, event_of, launches_of
from eicctl.audit.store import EventStore, Span
from eicctl.aws import cloudtrail
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.identity import caller_identity
from eicctl.aws.instances import address_history
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, LocalError
from eicctl.support import paths
from eicctl.support.threads import begin

OVERLAP = timedelta(minutes=20)
"""How far each look goes back: CloudTrail says that an event may take some 15 minutes."""


@dataclass(slots=True)
class Follower:
    """Looks for new events.

    Attributes:
        scope: Where to look.
        choice: What is asked for; its `until` does not count.
        directory: Who has which address; looked up again when an unknown address comes.
    """

    scope: Scope
    choice: Choice
    directory: Directory
    _seen: dict[str, Event] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def knows(self, events: Iterable[Event]) -> None:
        """Note events that are no news."""
        self._seen.update((event.id, event) for event in events)

    def look(self, now: datetime) -> list[Row]:
        """Return the rows of events that were not there at the last look, oldest first.

        A key that has had a row already belongs to a tunnel that comes later all the same: the tunnel's row names it.

        Raises:
            EicctlError: AWS does not answer, or refuses.
        """
        begins = now - OVERLAP
        fresh: dict[str, Event] = {}
        for event in self._events(begins, now):
            if event.id not in self._seen:
                fresh[event.id] = event
        self._seen.update(fresh)
        for event_id in [event.id for event in self._seen.values() if event.time < begins - OVERLAP]:
            del self._seen[event_id]
        if fresh:
            self._learn(fresh, now)
        rows = joined(sorted(self._seen.values(), key=lambda event: (event.time, event.id)), self.directory)
        return [row for row in rows if row.event.id in fresh and self.choice.has(row)]

    def _events(self, begins: datetime, now: datetime) -> Iterator[Event]:
        for region in self.scope.regions:
            for lookup in LOOKUPS:
                for page in cloudtrail.look_up(self.scope.session, region, lookup, begins, now):
                    for record in page.records:
                        if event := event_of(record):
                            yield event

    def _learn(self, fresh: dict[str, Event], now: datetime) -> None:
        """Look addresses up that nobody is known to have; each is asked for once."""
        new = {
            event.address
            for event in fresh.values()
            if event.address and not self.directory.knows(event.region, event.address)
        } - self._asked
        if not new:
            return
        self._asked |= new
        with EventStore() as store:
            store.add(fresh.values())
            try:
                self.directory = known_addresses(self.scope, store, now)
            except EicctlError as error:
                self.scope.warn(error.message)


LOOKUPS: tuple[cloudtrail.Attribute, ...] = (
    # One source has tunnels and pushed keys, so one look-up gives both.
    ("EventSource", "ec2-instance-connect.amazonaws.com"),
    *(("EventName", name) for name in CHANGES),
)

KEPT = timedelta(days=90)
"""How far back the event history goes (docs/explanation/protocol.md#cloudtrail)."""

LATE = timedelta(minutes=15)
"""How late an event may be delivered; a look-up is not complete for the time after."""

HISTORY_PAGES = 10
"""Pages of RunInstances, and of TerminateInstances, that are looked through for instances that are gone; 5 s each."""

CHECKPOINT_AGE = timedelta(days=1)
"""An interrupted look-up goes on within this time."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look, and whom to tell.

    Attributes:
        session: Access to AWS.
        regions: The regions.
        say: Called with the progress.
        warn: Called with what could not be read.
        stop: Set when the user wants no more.
    """

    session: Session
    regions: tuple[str, ...]
    say: Say
    warn: Say
    stop: threading.Event = field(default_factory=threading.Event)


class Stopped(Exception):
    """The user wants no more."""


def checkpoint(session: Session) -> EventStore:
    """Open the store that an interrupted look-up of this account has left, or a new one."""
    account = caller_identity(session).account
    # Another AWS, such as the local one, may have the same account.
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_CLOUDTRAIL") or os.environ.get("AWS_ENDPOINT_URL", "")
    place = f"{account}-{hashlib.sha256(elsewhere.encode()).hexdigest()[:8]}" if elsewhere else account
    path = paths.state_dir() / f"audit-{place}.sqlite"
    if _age(path) > CHECKPOINT_AGE.total_seconds():
        path.unlink(missing_ok=True)
    try:
        return EventStore(path)
    except LocalError:  # damaged, or of another version
        path.unlink(missing_ok=True)
        return EventStore(path)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def look_up(scope: Scope, store: EventStore, span: Span, now: datetime) -> dict[str, EicctlError]:
    """Bring the events of a span of time into the store, all regions at the same time.

    Args:
        scope: Where to look.
        store: Where events go; what it has complete is not asked for again.
        span: From when, and until when.
        now: The time.

    Returns:
        The errors of regions that did not answer, where others did.

    Raises:
        EicctlError: No region answers.
    """
    # Daemon threads: an interruption waits for no request and no pause.
    pending = {
        region: begin(lambda region=region: _Region(scope, region, store, now).fill(span))  # type: ignore[misc]
        for region in scope.regions
    }
    try:
        wait(pending.values())
    except BaseException:
        scope.stop.set()
        raise
    failures: dict[str, EicctlError] = {}
    for region, future in pending.items():
        try:
            future.result()
        except EicctlError as error:
            failures[region] = error
    if len(failures) == len(pending):
        raise next(iter(failures.values()))
    return failures


@dataclass(frozen=True, slots=True)
class _Region:
    """The look-ups of one region, one after the other: they share its two requests a second."""

    scope: Scope
    region: str
    store: EventStore
    now: datetime

    def fill(self, span: Span) -> None:
        """Bring in what is missing of a span."""
        for lookup in LOOKUPS:
            for gap in self.store.missing(self.region, lookup[1], span):
                self._fill_gap(lookup, gap)

    def _fill_gap(self, lookup: cloudtrail.Attribute, gap: Span) -> None:
        """Bring in what is between two times, newest first, and note after each page how far it is."""
        begins, ends = gap
        settled = min(ends, self.now - LATE)
        pages = cloudtrail.look_up(self.scope.session, self.region, lookup, begins, ends, throttled=self._throttled)
        for page in pages:
            self.store.add(event for record in page.records if (event := event_of(record)))
            if page.oldest and page.oldest < settled:
                self.store.complete(self.region, lookup[1], (page.oldest, settled))
            if self.scope.stop.is_set():
                raise Stopped
            back = f", back to {page.oldest:%Y-%m-%d %H:%M} UTC" if page.oldest else ""
            self.scope.say(f"{len(self.store)} events{back}")
        if begins < settled:
            self.store.complete(self.region, lookup[1], (begins, settled))

    def _throttled(self, pause: float) -> None:
        self.scope.say(f"throttled by CloudTrail, pausing {pause:.0f} s")


def known_addresses(scope: Scope, store: EventStore, now: datetime) -> Directory:
    """Return who has which address, from EC2 and, for addresses that nobody has, from CloudTrail's launches."""
    directory = Directory()
    for region in scope.regions:
        try:
            for held in address_history(scope.session, region):
                directory.add(AddressHolder(held.instance_id, held.address, held.name, held.vpc_id, region, held.since))
            for endpoint in list_endpoints(scope.session, region=region):
                directory.add_endpoint(KnownEndpoint(endpoint.id, endpoint.tags.get("Name", ""), endpoint.vpc_id))
        except EicctlError as error:
            scope.warn(f"{region}: cannot look up target names: {error.message}")
    for region in scope.regions:
        unknown = {address for where, address in store.addresses() if where == region}
        unknown = {address for address in unknown if not directory.knows(region, address)}
        if unknown:
            _search_launches(scope, region, unknown, directory, now)
    return directory


def _search_launches(scope: Scope, region: str, unknown: set[str], directory: Directory, now: datetime) -> None:
    left = set(unknown)
    try:
        pages = cloudtrail.look_up(scope.session, region, ("EventName", LAUNCH), now - KEPT, now)
        for number, page in enumerate(pages, 1):
            found = [launch for record in page.records for launch in launches_of(record) if launch.address in unknown]
            directory.learn(found)
            left -= {launch.address for launch in found}
            scope.say(f"looking up terminated instances: {len(unknown) - len(left)} of {len(unknown)} addresses")
            if not left or number == HISTORY_PAGES:
                break
        if len(left) < len(unknown):
            ends = cloudtrail.look_up(scope.session, region, ("EventName", END), now - KEPT, now)
            for page in islice(ends, HISTORY_PAGES):
                directory.learn(end for record in page.records for end in ends_of(record))
    except EicctlError as error:
        scope.warn(f"{region}: cannot look up terminated instances: {error.message}")


def rows_of(store: EventStore, directory: Directory, choice: Choice) -> Iterator[Row]:
    """Yield the rows that are asked for, oldest first."""
    since = choice.since - BEFORE if choice.since else None
    until = choice.until + AFTER if choice.until else None
    for row in joined(store.events(since, until), directory):
        if choice.has(row):
            yield row
