"""From CloudTrail's event history into the store, region by region; an interrupted lookup resumes. Then, new events.

CloudTrail delivers late and out of order: each poll for new events goes back a while, and knows what it has seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

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
from eicctl.core.names import counted
from eicctl.support import paths
from eicctl.support.threads import begin

OVERLAP = timedelta(minutes=20)
"""How far each poll goes back: an event may take some 15 minutes."""


LOOKUPS: tuple[cloudtrail.Attribute, ...] = (
    # One source has tunnels and pushed keys, so one look-up gives both.
    ("EventSource", "ec2-instance-connect.amazonaws.com"),
    *(("EventName", name) for name in CHANGES),
)

KEPT = timedelta(days=90)
"""How far back the event history goes (docs/explanation/protocol.md#cloudtrail)."""

LATE = timedelta(minutes=15)
"""How late an event may be delivered; a lookup is not complete for the time after."""

HISTORY_PAGES = 10
"""Pages of RunInstances, and of TerminateInstances, that are read to find terminated instances; 5 s each."""

CHECKPOINT_AGE = timedelta(days=1)
"""An interrupted lookup resumes within this time."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look, and how to report.

    Attributes:
        session: Access to AWS.
        regions: The regions.
        say: Called with the progress.
        warn: Called with what could not be read.
        stop: Set to end the lookups.
    """

    session: Session
    regions: tuple[str, ...]
    say: Say
    warn: Say
    stop: threading.Event = field(default_factory=threading.Event)


class Stopped(Exception):
    """The user has interrupted."""


def checkpoint(session: Session) -> EventStore:
    """Open the store that an interrupted lookup of this account has left, or a new one."""
    account = caller_identity(session).account
    # Another AWS, such as the local one, may have the same account.
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_CLOUDTRAIL") or os.environ.get("AWS_ENDPOINT_URL", "")
    suffix = f"-{hashlib.sha256(elsewhere.encode()).hexdigest()[:8]}" if elsewhere else ""
    path = paths.state_dir() / f"audit-{account}{suffix}.sqlite"
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > CHECKPOINT_AGE.total_seconds():
            path.unlink(missing_ok=True)
    try:
        return EventStore(path)
    except LocalError:  # damaged, or of another version
        path.unlink(missing_ok=True)
        return EventStore(path)


def look_up(scope: Scope, store: EventStore, span: Span, now: datetime) -> dict[str, EicctlError]:
    """Fetch the events of a span of time into the store, all regions at the same time.

    Args:
        scope: Where to look.
        store: Where events go; what it has completely is not fetched again.
        span: From when, and until when.
        now: The time.

    Returns:
        The errors of regions that did not respond, if others did.

    Raises:
        EicctlError: No region responds.
    """
    # Daemon threads: an interruption waits for no request and no pause.
    pending = {region: begin(partial(_fill, scope, region, store, span, now)) for region in scope.regions}
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


def _fill(scope: Scope, region: str, store: EventStore, span: Span, now: datetime) -> None:
    """Fetch what is missing of a span, newest first; after each page, record how far it is complete.

    The lookups of a region run one after the other: they share its two requests a second.
    """

    def throttled(pause: float) -> None:
        scope.say(f"throttled by CloudTrail, pausing {pause:.0f} s")

    for lookup in LOOKUPS:
        for begins, ends in store.missing(region, lookup[1], span):
            final = min(ends, now - LATE)
            for page in cloudtrail.look_up(scope.session, region, lookup, begins, ends, throttled=throttled):
                store.add(filter(None, map(event_of, page.records)))
                if page.oldest and page.oldest < final:
                    store.complete(region, lookup[1], (page.oldest, final))
                if scope.stop.is_set():
                    raise Stopped
                back = f", back to {page.oldest:%Y-%m-%d %H:%M} UTC" if page.oldest else ""
                scope.say(f"{counted(len(store), 'event')}{back}")
            if begins < final:
                store.complete(region, lookup[1], (begins, final))


def known_addresses(scope: Scope, store: EventStore, now: datetime) -> Directory:
    """Return who has which address, from EC2 and, for addresses of no instance, from CloudTrail's launches."""
    directory = Directory()
    for region in scope.regions:
        try:
            for held in address_history(scope.session, region):
                directory.add(AddressHolder(held.instance_id, held.address, held.name, held.vpc_id, region, held.since))
            for endpoint in list_endpoints(scope.session, region=region):
                directory.add_endpoint(KnownEndpoint(endpoint.id, endpoint.tags.get("Name", ""), endpoint.vpc_id))
        except EicctlError as error:
            scope.warn(f"{region}: Cannot look up target names: {error.message}")
    for region in scope.regions:
        unknown = {
            address for where, address in store.addresses() if where == region and not directory.knows(region, address)
        }
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
        scope.warn(f"{region}: Cannot look up terminated instances: {error.message}")


@dataclass(frozen=True, slots=True)
class Source:
    """Events of one account, or of log files.

    Attributes:
        store: The events.
        directory: Who has which address.
        account_name: The account's name; empty where it is not known.
        profile: Its profile; empty where it is the only one.
    """

    store: EventStore
    directory: Directory
    account_name: str = ""
    profile: str = ""

    def named(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Return rows with the account."""
        if not (self.account_name or self.profile):
            return iter(rows)
        return (row._replace(account_name=self.account_name, profile=self.profile) for row in rows)


def merged_rows(sources: Sequence[Source], choice: Choice) -> Iterator[Row]:
    """Yield the rows of all sources that match, oldest first."""
    rows = (source.named(rows_of(source.store, source.directory, choice)) for source in sources)
    return heapq.merge(*rows, key=lambda row: row.event.time)


def rows_of(store: EventStore, directory: Directory, choice: Choice) -> Iterator[Row]:
    """Yield the rows that match, oldest first."""
    since = choice.since - BEFORE if choice.since else None
    until = choice.until + AFTER if choice.until else None
    for row in joined(store.events(since, until), directory):
        if choice.has(row):
            yield row


@dataclass(slots=True)
class Follower:
    """Polls for new events.

    Attributes:
        scope: Where to look.
        choice: The filters, without the end of the period.
        directory: Who has which address; read again when an unknown address comes.
    """

    scope: Scope
    choice: Choice
    directory: Directory
    _seen: dict[str, Event] = field(default_factory=dict)
    _searched: set[str] = field(default_factory=set)

    def knows(self, events: Iterable[Event]) -> None:
        """Add events that are not new."""
        self._seen.update((event.id, event) for event in events)

    def look(self, now: datetime) -> list[Row]:
        """Return the rows of events that are new since the last call, oldest first.

        A tunnel's row also names a key that has had a row of its own.

        Raises:
            EicctlError: AWS does not respond, or refuses.
        """
        begins = now - OVERLAP
        found = {event.id: event for event in self._events(begins, now)}
        fresh = {event_id: event for event_id, event in found.items() if event_id not in self._seen}
        self._seen = {key: event for key, event in (self._seen | fresh).items() if event.time >= begins - OVERLAP}
        if fresh:
            self._learn(fresh.values(), now)
        rows = joined(sorted(self._seen.values(), key=lambda event: (event.time, event.id)), self.directory)
        return [row for row in rows if row.event.id in fresh and self.choice.has(row)]

    def _events(self, begins: datetime, now: datetime) -> Iterator[Event]:
        for region in self.scope.regions:
            for lookup in LOOKUPS:
                for page in cloudtrail.look_up(self.scope.session, region, lookup, begins, now):
                    yield from filter(None, map(event_of, page.records))

    def _learn(self, events: Iterable[Event], now: datetime) -> None:
        """Look up addresses of unknown instances, each once."""
        known = self.directory.knows
        new = {event.address for event in events if event.address and not known(event.region, event.address)}
        if not new - self._searched:
            return
        self._searched |= new
        with EventStore() as store:
            store.add(events)
            try:
                self.directory = known_addresses(self.scope, store, now)
            except EicctlError as error:
                self.scope.warn(error.message)
