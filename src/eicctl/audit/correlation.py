"""CloudTrail events as rows, with the instance at an address at that time, and the key pushed for a tunnel. No I/O."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Literal

from eicctl.audit.records import CHANGES, KEY, TUNNEL, End, Event, Launch

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


@dataclass(frozen=True, slots=True)
class Row:
    """An event and its target.

    Attributes:
        event: The record.
        instance_id: The target; empty where it is not known.
        instance_name: Its Name tag.
        evidence: How the target is known.
        endpoint_name: The endpoint's Name tag.
        os_user: The OS user that the key was for, where one was pushed.
        key_event_id: The SendSSHPublicKey event that belongs to this tunnel; it has no row of its own.
    """

    event: Event
    instance_id: str = ""
    instance_name: str = ""
    evidence: Evidence = ""
    endpoint_name: str = ""
    os_user: str = ""
    key_event_id: str = ""

    @property
    def target(self) -> str:
        """The target as people know it: name, ID or address; empty for an endpoint change."""
        return self.instance_name or self.instance_id or self.event.address

    def shown(self) -> dict[str, Any]:
        """The row with AWS's spelling: what `COLUMNS` has. Times are ISO 8601 in UTC."""
        found = {name: attrgetter(path)(self) for name, path in COLUMNS.items()}
        return found | {"EventTime": iso(self.event.time)}


COLUMNS: Mapping[str, str] = {
    "EventTime": "event.time",
    "EventName": "event.name",
    "Outcome": "event.outcome",
    "Principal": "event.principal.label",
    "PrincipalArn": "event.principal.arn",
    "PrincipalType": "event.principal.kind",
    "SessionName": "event.principal.session",
    "AccessKeyId": "event.principal.access_key_id",
    "MfaAuthenticated": "event.principal.mfa",
    "SourceIpAddress": "event.source_ip",
    "UserAgent": "event.user_agent",
    "InstanceConnectEndpointId": "event.endpoint_id",
    "EndpointName": "endpoint_name",
    "PrivateIpAddress": "event.address",
    "RemotePort": "event.port",
    "MaxTunnelDuration": "event.duration",
    "InstanceId": "instance_id",
    "InstanceName": "instance_name",
    "TargetSource": "evidence",
    "InstanceOSUser": "os_user",
    "KeyEventId": "key_event_id",
    "ErrorCode": "event.error_code",
    "ErrorMessage": "event.error_message",
    "AwsRegion": "event.region",
    "EventId": "event.id",
}
"""The columns of a row, in order, each with the attribute of a `Row` that it shows."""


def iso(time: datetime) -> str:
    """A time as ISO 8601 in UTC, to the second."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


BEFORE = timedelta(seconds=60)
"""How long before a tunnel its key may have been pushed (docs/explanation/protocol.md#keys)."""

AFTER = timedelta(seconds=10)
"""How long after."""

_Caller = tuple[str, str]


@dataclass(slots=True)
class _Waiting:
    """A row that cannot be given out yet, because a tunnel or key to come may belong to it."""

    row: Row
    used: bool = False


def joined(events: Iterable[Event], directory: Directory) -> Iterator[Row]:
    """Yield a row for each event, oldest first, but none for keys that belong to a tunnel.

    Args:
        events: Events, oldest first.
        directory: Who had which address.
    """
    join = _Join(directory)
    for event in events:
        yield from join.take(event)
    yield from join.rest()


class _Join:
    """The events of the last 70 s."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._waiting: deque[_Waiting] = deque()
        self._tunnels: deque[_Waiting] = deque()
        self._keys: dict[_Caller, deque[_Waiting]] = defaultdict(deque)

    def take(self, event: Event) -> Iterator[Row]:
        """Add an event; yield the rows that nothing can belong to any more."""
        self._resolve(event.time - AFTER)
        yield from self._give(event.time - AFTER - BEFORE)
        self._directory.notice(event)
        waiting = _Waiting(self._row(event))
        self._waiting.append(waiting)
        if event.name == TUNNEL:
            self._tunnels.append(waiting)
        elif event.name == KEY and event.succeeded:
            self._keys[_caller(event)].append(waiting)

    def rest(self) -> Iterator[Row]:
        """Yield what is left."""
        self._resolve(None)
        yield from self._give(None)

    def _row(self, event: Event) -> Row:
        row = Row(event, endpoint_name=self._directory.door_name(event.endpoint_id), os_user=event.os_user)
        if event.instance_id:
            return _with_instance(row, event.instance_id, self._directory.name_of(event.instance_id), "record")
        if event.address and (holder := self._directory.instance_at(event)):
            name = holder.name or self._directory.name_of(holder.instance_id)
            return _with_instance(row, holder.instance_id, name, holder.evidence)
        return row

    def _resolve(self, before: datetime | None) -> None:
        """Look for the keys of tunnels: all that may belong to those before a time are here."""
        while self._tunnels and (before is None or self._tunnels[0].row.event.time < before):
            self._find_key(self._tunnels.popleft())

    def _find_key(self, tunnel: _Waiting) -> None:
        row = tunnel.row
        near = [
            key
            for key in self._keys.get(_caller(row.event), ())
            if row.event.time - BEFORE <= key.row.event.time <= row.event.time + AFTER
        ]
        if row.instance_id:
            near = [key for key in near if key.row.instance_id == row.instance_id]
        elif len({key.row.instance_id for key in near}) != 1:
            return
        if not near:
            return
        key = min(near, key=lambda candidate: abs(candidate.row.event.time - row.event.time))
        key.used = True
        if not row.instance_id:
            row = _with_instance(row, key.row.instance_id, key.row.instance_name, "key")
        tunnel.row = _with_key(row, key.row.event)

    def _give(self, before: datetime | None) -> Iterator[Row]:
        while self._waiting and (before is None or self._waiting[0].row.event.time < before):
            waiting = self._waiting.popleft()
            self._forget(waiting)
            if not waiting.used:
                yield waiting.row

    def _forget(self, waiting: _Waiting) -> None:
        caller = _caller(waiting.row.event)
        keys = self._keys.get(caller)
        if keys and keys[0] is waiting:
            keys.popleft()
            if not keys:
                del self._keys[caller]


def _caller(event: Event) -> _Caller:
    return (event.principal.arn or event.principal.access_key_id, event.region)


def _with_instance(row: Row, instance_id: str, name: str, evidence: Evidence) -> Row:
    return replace(row, instance_id=instance_id, instance_name=name, evidence=evidence)


def _with_key(row: Row, key: Event) -> Row:
    return replace(row, os_user=key.os_user, key_event_id=key.id)
