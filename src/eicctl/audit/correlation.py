"""CloudTrail events as rows, with the instance at an address at that time, and the key pushed for a tunnel. No I/O.

A key that its caller pushed up to a minute before a tunnel (as long as it is valid) or a few seconds after it (the two
calls run at the same time) belongs to the tunnel if it went to the tunnel's instance. If the address identifies no
instance, keys do, but only if all keys of that minute went to one instance.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from eicctl.audit.records import CHANGES, KEY, TUNNEL, End, Event, Launch

Evidence = Literal["", "address", "launch", "key", "record"]
"""How an instance is known: it has the address now; it was launched with it; the caller pushed a key to it then; or the
record itself names it."""

Value = str | int | None
"""What a column of a row has; True and False are ints."""

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

    An OpenTunnel record has an address and no instance (docs/explanation/protocol.md#cloudtrail), and addresses are
    reused. An instance counts only from the time at which it got the address; if several are possible, none is named.

    Args:
        holders: Instances; one without an address only gives its ID a name.
        endpoints: Endpoints.
    """

    def __init__(self, holders: Iterable[AddressHolder] = (), endpoints: Iterable[KnownEndpoint] = ()) -> None:
        self._at: dict[str, list[AddressHolder]] = defaultdict(list)
        self._names: dict[str, str] = {}
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._ended: dict[str, datetime] = {}
        for holder in holders:
            self.add(holder)

    def add(self, holder: AddressHolder) -> None:
        """Add an instance."""
        if holder.address:
            self._at[holder.address].append(holder)
        if holder.name:
            self._names.setdefault(holder.instance_id, holder.name)

    def add_endpoint(self, endpoint: KnownEndpoint) -> None:
        """Add an endpoint."""
        self._endpoints[endpoint.id] = endpoint

    def learn(self, lives: Iterable[Launch | End]) -> None:
        """Add instances of RunInstances records, and their ends from TerminateInstances records."""
        for life in lives:
            if isinstance(life, End):
                self._ended[life.instance_id] = life.time
            else:
                self.add(AddressHolder(*life, "launch"))

    def notice(self, event: Event) -> None:
        """Add the VPC of an endpoint from the record of its creation."""
        if event.name in CHANGES and event.vpc_id and event.endpoint_id not in self._endpoints:
            self._endpoints[event.endpoint_id] = KnownEndpoint(event.endpoint_id, vpc_id=event.vpc_id)

    def name_of(self, instance_id: str) -> str:
        """The Name tag of an instance, or an empty string."""
        return self._names.get(instance_id, "")

    def endpoint_name_of(self, endpoint_id: str) -> str:
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


class Row(NamedTuple):
    """An event and its target.

    Attributes:
        event: The record.
        instance_id: The target; empty where it is not known.
        instance_name: Its Name tag.
        evidence: How the target is known.
        endpoint_name: The endpoint's Name tag.
        os_user: The OS user that the key was for, where one was pushed.
        key_event_id: The SendSSHPublicKey event that belongs to this tunnel; it has no row of its own.
        account_name: The name of the event's account in its organization; empty where it is not known.
        profile: The profile that leads to it; empty where its account is the only one.
    """

    event: Event
    instance_id: str = ""
    instance_name: str = ""
    evidence: Evidence = ""
    endpoint_name: str = ""
    os_user: str = ""
    key_event_id: str = ""
    account_name: str = ""
    profile: str = ""

    @property
    def target(self) -> str:
        """The target as people know it: name, ID or address; empty for an endpoint change."""
        return self.instance_name or self.instance_id or self.event.address

    def values(self) -> list[Value]:
        """What `COLUMNS` has. The time is ISO 8601 in UTC."""
        time, *others = _VALUES(self)
        return [iso(time), *others]

    def shown(self) -> dict[str, Value]:
        """The row with AWS's spelling."""
        return dict(zip(COLUMNS, self.values(), strict=True))


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
    "AccountId": "event.account_id",
    "AccountName": "account_name",
    "Profile": "profile",
}
"""The columns of a row, in order, each with the attribute of a `Row` that it shows."""

_VALUES: Callable[[Row], tuple[Any, ...]] = attrgetter(*COLUMNS.values())


def iso(time: datetime) -> str:
    """A time as ISO 8601 in UTC, to the second."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


BEFORE = timedelta(seconds=60)
"""How long before a tunnel its key may have been pushed (docs/explanation/protocol.md#keys)."""

AFTER = timedelta(seconds=10)
"""How long after."""


@dataclass(slots=True)
class _Pending:
    """A row that cannot be yielded yet, because a later tunnel or key may belong to it."""

    row: Row
    used: bool = False

    @property
    def time(self) -> datetime:
        return self.row.event.time

    @property
    def caller(self) -> tuple[str, str]:
        who = self.row.event.principal
        return (who.arn or who.access_key_id, self.row.event.region)


def joined(events: Iterable[Event], directory: Directory) -> Iterator[Row]:
    """Yield a row for each event, oldest first, but none for keys that belong to a tunnel.

    Args:
        events: Events, oldest first.
        directory: Who had which address.
    """
    join = _Join(directory)
    for event in events:
        yield from join.add(event)
    yield from join.finish()


class _Join:
    """The events of the last 70 s."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._pending: deque[_Pending] = deque()
        self._tunnels: deque[_Pending] = deque()
        self._keys: dict[tuple[str, str], deque[_Pending]] = defaultdict(deque)

    def add(self, event: Event) -> Iterator[Row]:
        """Add an event; yield the rows that nothing can belong to any more."""
        yield from self._completed(event.time - AFTER)
        self._directory.notice(event)
        pending = _Pending(self._row(event))
        self._pending.append(pending)
        if event.name == TUNNEL:
            self._tunnels.append(pending)
        elif event.name == KEY and event.succeeded:
            self._keys[pending.caller].append(pending)

    def finish(self) -> Iterator[Row]:
        """Yield the other rows."""
        yield from self._completed(datetime.max.replace(tzinfo=UTC))

    def _row(self, event: Event) -> Row:
        known, instance_id, name = self._directory, event.instance_id, ""
        evidence: Evidence = "record" if instance_id else ""
        if not instance_id and event.address and (holder := known.instance_at(event)):
            instance_id, name, evidence = holder.instance_id, holder.name, holder.evidence
        name = name or known.name_of(instance_id)
        return Row(event, instance_id, name, evidence, known.endpoint_name_of(event.endpoint_id), event.os_user)

    def _completed(self, before: datetime) -> Iterator[Row]:
        """Find the keys of the tunnels before a time, and yield the rows to which no later tunnel can belong."""
        while self._tunnels and self._tunnels[0].time < before:
            self._find_key(self._tunnels.popleft())
        while self._pending and self._pending[0].time < before - BEFORE:
            pending = self._pending.popleft()
            keys = self._keys.get(pending.caller)
            if keys and keys[0] is pending:
                keys.popleft()
                if not keys:
                    del self._keys[pending.caller]
            if not pending.used:
                yield pending.row

    def _find_key(self, tunnel: _Pending) -> None:
        row, keys = tunnel.row, self._keys.get(tunnel.caller)
        if not keys:
            return
        near = [key for key in keys if tunnel.time - BEFORE <= key.time <= tunnel.time + AFTER]
        if row.instance_id:
            near = [key for key in near if key.row.instance_id == row.instance_id]
        if len({key.row.instance_id for key in near}) != 1:
            return
        key = min(near, key=lambda candidate: abs(candidate.time - tunnel.time))
        key.used = True
        if not row.instance_id:
            row = row._replace(instance_id=key.row.instance_id, instance_name=key.row.instance_name, evidence="key")
        tunnel.row = row._replace(os_user=key.row.os_user, key_event_id=key.row.event.id)
