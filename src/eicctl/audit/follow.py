"""New events as they come.

CloudTrail delivers late and out of order: each look goes back a while, and knows what it has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from eicctl.audit.addresses import Directory
from eicctl.audit.correlation import joined
from eicctl.audit.fetch import LOOKUPS, Scope, known_addresses
from eicctl.audit.filters import Choice
from eicctl.audit.records import Event, event_of
from eicctl.audit.rows import Row
from eicctl.audit.store import EventStore
from eicctl.aws import cloudtrail
from eicctl.core.errors import EicctlError

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
