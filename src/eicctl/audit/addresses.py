"""Who had which address at a time. Pure; no I/O.

An OpenTunnel record has an address and no instance (docs/explanation/protocol.md#cloudtrail), and addresses are reused.
An instance counts only from the time at which it got the address, and where two could be meant, none is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from eicctl.audit.records import CHANGES, End, Event, Launch

Evidence = Literal["", "address", "launch", "key", "record"]
"""How an instance is known: it has the address now; it was launched with it; the caller pushed a key to it then; or the
record itself names it."""

_SLACK = timedelta(seconds=60)
"""By how much times of two services may differ."""


@dataclass(frozen=True, slots=True)
class AddressHolder:
    """An instance at an address. `since` is when it got it, None where that is not known."""

    instance_id: str
    address: str
    name: str = ""
    vpc_id: str = ""
    region: str = ""
    since: datetime | None = None
    evidence: Evidence = "address"


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """An endpoint."""

    id: str
    name: str = ""
    vpc_id: str = ""


class Directory:
    """Instances by address, and the names of instances and endpoints.

    Args:
        holders: Instances; one without an address only gives its ID a name.
        endpoints: Endpoints.
    """

    def __init__(self, holders: Iterable[AddressHolder] = (), endpoints: Iterable[KnownEndpoint] = ()) -> None:
        self._at: dict[str, list[AddressHolder]] = defaultdict(list)
        self._names: dict[str, str] = {}
        self._endpoints: dict[str, KnownEndpoint] = {}
        self._ended: dict[str, datetime] = {}
        for holder in holders:
            self.add(holder)
        for endpoint in endpoints:
            self.add_endpoint(endpoint)

    def add(self, holder: AddressHolder) -> None:
        """Learn of an instance."""
        if holder.address:
            self._at[holder.address].append(holder)
        if holder.name:
            self._names.setdefault(holder.instance_id, holder.name)

    def add_endpoint(self, endpoint: KnownEndpoint) -> None:
        """Learn of an endpoint."""
        self._endpoints[endpoint.id] = endpoint

    def learn(self, lives: Iterable[Launch | End]) -> None:
        """Learn of instances from RunInstances records, and of their ends from TerminateInstances records."""
        for life in lives:
            if isinstance(life, End):
                self._ended[life.instance_id] = life.time
            else:
                self.add(
                    AddressHolder(
                        life.instance_id,
                        life.address,
                        life.name,
                        life.vpc_id,
                        life.region,
                        life.time,
                        evidence="launch",
                    )
                )

    def notice(self, event: Event) -> None:
        """Learn the VPC of an endpoint from the record that made it."""
        if event.name in CHANGES and event.vpc_id and event.endpoint_id not in self._endpoints:
            self._endpoints[event.endpoint_id] = KnownEndpoint(event.endpoint_id, vpc_id=event.vpc_id)

    def name_of(self, instance_id: str) -> str:
        """The Name tag of an instance, or an empty string."""
        return self._names.get(instance_id, "")

    def door_name(self, endpoint_id: str) -> str:
        """The Name tag of an endpoint, or an empty string."""
        endpoint = self._endpoints.get(endpoint_id)
        return endpoint.name if endpoint else ""

    def knows(self, region: str, address: str) -> bool:
        """Whether any instance is known at an address."""
        return any(_in_region(holder, region) for holder in self._at.get(address, ()))

    def instance_at(self, event: Event) -> AddressHolder | None:
        """Return the instance at the address of a tunnel at its time; None where none is known or several could be."""
        could = [
            holder
            for holder in self._at.get(event.address, ())
            if _in_region(holder, event.region) and self._lived(holder, event.time)
        ]
        endpoint = self._endpoints.get(event.endpoint_id)
        if endpoint and endpoint.vpc_id:
            # An endpoint reaches peered VPCs too, so its own VPC is preferred and not required.
            could = [holder for holder in could if holder.vpc_id == endpoint.vpc_id] or could
        if len({holder.vpc_id for holder in could if holder.vpc_id}) > 1:
            return None
        dated = sorted((holder for holder in could if holder.since), key=lambda holder: holder.since or event.time)
        if dated:
            return dated[-1]
        return could[0] if len({holder.instance_id for holder in could}) == 1 else None

    def _lived(self, holder: AddressHolder, time: datetime) -> bool:
        ended = self._ended.get(holder.instance_id)
        return (holder.since is None or holder.since <= time + _SLACK) and (ended is None or time <= ended + _SLACK)


def _in_region(holder: AddressHolder, region: str) -> bool:
    return not holder.region or not region or holder.region == region
