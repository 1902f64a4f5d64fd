"""Rows as counts, one row after the other, in bounded memory; and the findings of these. No I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from eicctl.audit.correlation import Row
from eicctl.audit.records import CHANGES, KEY, TUNNEL

MOST_ENTRIES = 2_000
"""Principals, and targets, that are counted apart; the rest are counted together."""

MOST_MEMBERS = 100
"""Sources, targets and principals that an entry remembers; it counts no further."""

MOST_PAIRS = 20_000
"""Pairs of principal and source address whose first time is remembered."""

LATEST = 100
"""Rows that are shown in full."""

MOST_BUCKETS = 96
OTHERS = "(others)"

_WIDTHS = tuple(
    timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 7 * 1_440, 28 * 1_440)
)


@dataclass(frozen=True, slots=True)
class OfficeHours:
    """When people work: from hour `begins` to hour `ends`, Monday to Friday, in local time."""

    begins: int = 7
    ends: int = 19

    def have(self, local: datetime) -> bool:
        """Whether a local time is in them."""
        return local.weekday() < 5 and self.begins <= local.hour < self.ends


@dataclass(slots=True)
class Members:
    """Some strings, each once, up to a limit."""

    found: dict[str, None] = field(default_factory=dict)
    more: bool = False

    def add(self, text: str) -> None:
        """Remember one."""
        if not text or text in self.found:
            return
        if len(self.found) < MOST_MEMBERS:
            self.found[text] = None
        else:
            self.more = True

    def __str__(self) -> str:
        return f"{len(self.found)}{'+' if self.more else ''}"


@dataclass(slots=True)
class Entry:
    """What is counted of a principal or a target. `events` is all of it; `changes` are those that were made."""

    label: str
    detail: str = ""
    kind: str = ""
    events: int = 0
    tunnels: int = 0
    keys: int = 0
    changes: int = 0
    denied: int = 0
    failed: int = 0
    off_hours: int = 0
    mfa: int = 0
    no_mfa: int = 0
    no_duration: int = 0
    first: datetime | None = None
    last: datetime | None = None
    sources: Members = field(default_factory=Members)
    peers: Members = field(default_factory=Members)
    ports: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> int:
        """What was refused, for any reason."""
        return self.denied + self.failed


@dataclass(slots=True)
class Bucket:
    """The events of a part of the period."""

    begins: datetime
    ok: int = 0
    refused: int = 0
    other: int = 0


class Summary:
    """The numbers of a period.

    Args:
        begins: Its begin.
        ends: Its end.
        hours: When people work.
        local: Turns a time into local time.
    """

    def __init__(
        self, begins: datetime, ends: datetime, hours: OfficeHours, local: Callable[[datetime], datetime]
    ) -> None:
        self.begins, self.ends, self.hours, self.local = begins, max(ends, begins + timedelta(minutes=5)), hours, local
        self.width = next((w for w in _WIDTHS if (self.ends - begins) / w <= MOST_BUCKETS), _WIDTHS[-1])
        floor = _floor(local(begins), self.width)
        count = min(int((self.ends - floor) / self.width) + 1, 4 * MOST_BUCKETS)
        self.buckets = [Bucket(floor + index * self.width) for index in range(count)]
        self.heat = [[0] * 24 for _ in range(7)]
        self.total = Entry("all")
        self.principals: dict[str, Entry] = {}
        self.targets: dict[str, Entry] = {}
        self.first_seen: dict[tuple[str, str], datetime] = {}
        self.latest: deque[Row] = deque(maxlen=LATEST)
        self.refusals: deque[Row] = deque(maxlen=LATEST)
        self.changes: deque[Row] = deque(maxlen=LATEST)
        self.unknown = Members()
        self.odd_ports: Counter[str] = Counter()

    @property
    def middle(self) -> datetime:
        """The middle of the period."""
        return self.begins + (self.ends - self.begins) / 2

    def add(self, row: Row) -> None:
        """Count a row. Rows come oldest first."""
        event, who = row.event, row.event.principal
        off_hours = event.succeeded and event.name in (TUNNEL, KEY) and not self.hours.have(self.local(event.time))
        principal = _entry(self.principals, who.arn or who.label, who.label, who.arn, who.kind)
        counted = [self.total, principal]
        if row.target and event.name in (TUNNEL, KEY):
            detail = " ".join(part for part in (row.instance_id, event.address) if part and part != row.target)
            target = _entry(self.targets, row.instance_id or event.address, row.target, detail)
            target.peers.add(who.label)
            counted.append(target)
        principal.peers.add(row.target)
        self.total.peers.add(row.target)
        for entry in counted:
            _count(entry, row, off_hours)
        self._place(row)
        self._keep(row, who.arn or who.label)

    def _place(self, row: Row) -> None:
        event = row.event
        index = int((event.time - self.buckets[0].begins) / self.width)
        bucket = self.buckets[max(0, min(index, len(self.buckets) - 1))]
        if event.refused:
            bucket.refused += 1
        elif event.name == TUNNEL:
            bucket.ok += 1
        else:
            bucket.other += 1
        local = self.local(event.time)
        self.heat[local.weekday()][local.hour] += 1

    def _keep(self, row: Row, principal: str) -> None:
        event = row.event
        pair = (principal, event.source_ip)
        if event.source_ip and pair not in self.first_seen and len(self.first_seen) < MOST_PAIRS:
            self.first_seen[pair] = event.time
        self.latest.append(row)
        if event.refused:
            self.refusals.append(row)
        elif event.name in CHANGES and event.succeeded:
            self.changes.append(row)
        if event.name == TUNNEL:
            if not row.instance_id:
                self.unknown.add(event.address)
            if event.port not in (None, 22, 3389):
                self.odd_ports[str(event.port)] += 1


def _floor(local: datetime, width: timedelta) -> datetime:
    """The last round time before: a multiple of the width since midnight."""
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + int((local - midnight) / width) * width


def _entry(entries: dict[str, Entry], key: str, label: str, detail: str = "", kind: str = "") -> Entry:
    if key not in entries and len(entries) >= MOST_ENTRIES:
        key, label, detail, kind = OTHERS, OTHERS, "", ""
    return entries.setdefault(key, Entry(label, detail, kind))


def _count(entry: Entry, row: Row, off_hours: bool) -> None:
    event = row.event
    entry.first = entry.first or event.time
    entry.last = event.time
    entry.sources.add(event.source_ip)
    entry.events += 1
    if event.name == TUNNEL:
        entry.tunnels += 1
        entry.no_duration += event.duration is None and event.succeeded
        if len(entry.ports) < MOST_MEMBERS:
            entry.ports[str(event.port or "-")] += 1
    elif event.name == KEY:
        entry.keys += 1
    else:
        entry.changes += event.succeeded
    entry.denied += event.outcome == "denied"
    entry.failed += event.outcome == "failed"
    entry.off_hours += off_hours
    entry.mfa += event.principal.mfa is True
    entry.no_mfa += event.principal.mfa is False
    if event.error_code and len(entry.codes) < MOST_MEMBERS:
        entry.codes[event.error_code] += 1


MOST_ITEMS = 12
"""Maximum number of examples in a finding."""

Severity = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to review. `items` are examples: a name and a detail."""

    severity: Severity
    title: str
    text: str
    items: tuple[tuple[str, str], ...] = ()


def findings(summary: Summary) -> list[Finding]:
    """Return the findings, the most severe first."""
    found = [finding for rule in _RULES for finding in rule(summary)]
    return sorted(found, key=lambda finding: ("high", "medium", "low").index(finding.severity))


def _root(summary: Summary) -> Iterator[Finding]:
    entries = [entry for entry in summary.principals.values() if entry.kind == "Root"]
    if entries:
        yield Finding(
            "high",
            "Root user activity",
            "Policies of the account cannot restrict root, and tunnels never need it.",
            _items(entries, lambda entry: _number(entry.events, "event")),
        )


def _denials(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.denied)
    if entries:
        yield Finding(
            "high",
            f"{_number(summary.total.denied, 'call')} denied",
            "A policy or the credentials did not allow these. A few are everyday mistakes; many, or many kinds, "
            "suggest someone probing for permissions.",
            _items(entries, lambda entry: f"{entry.denied} of {entry.events} denied: {_codes(entry)}"),
        )


def _sources(summary: Summary) -> Iterator[Finding]:
    """Addresses of the second half of the period, by principals that were seen from others in the first."""
    early = {principal for (principal, _), time in summary.first_seen.items() if time < summary.middle}
    new = [
        (_label(summary, principal), f"{source}, first at {summary.local(time):%Y-%m-%d %H:%M}")
        for (principal, source), time in summary.first_seen.items()
        if time >= summary.middle and principal in early
    ]
    if new:
        yield Finding(
            "medium",
            f"{_number(len(new), 'new source address', 'new source addresses')}",
            "Not seen with these principals in the first half of the period, before "
            f"{summary.local(summary.middle):%Y-%m-%d %H:%M}.",
            tuple(new[:MOST_ITEMS]),
        )
    newcomers = {
        principal: time for (principal, _), time in reversed(summary.first_seen.items()) if principal not in early
    }
    if early and newcomers:
        items = [
            (_label(summary, who), f"first at {summary.local(time):%Y-%m-%d %H:%M}") for who, time in newcomers.items()
        ]
        yield Finding(
            "low",
            f"{_number(len(newcomers), 'new principal')}",
            "Not seen in the first half of the period.",
            tuple(items[::-1][:MOST_ITEMS]),
        )


def _no_mfa(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.no_mfa)
    if entries:
        yield Finding(
            "medium",
            f"{_number(summary.total.no_mfa, 'call')} by sessions without MFA",
            "The record says that the session was created without MFA. This includes role sessions of machines and of "
            "identity providers, even if their users passed MFA there.",
            _items(entries, lambda entry: f"{entry.no_mfa} of {entry.events}"),
        )
    unknown = _most(summary.principals.values(), _mfa_unknown)
    if unknown:
        yield Finding(
            "low",
            f"{_number(_mfa_unknown(summary.total), 'call')} with unknown MFA status",
            "CloudTrail does not record MFA for long-lived access keys.",
            _items(unknown, lambda entry: f"{_mfa_unknown(entry)} of {entry.events}"),
        )


def _mfa_unknown(entry: Entry) -> int:
    return entry.events - entry.mfa - entry.no_mfa


def _off_hours(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.off_hours)
    if entries:
        hours = summary.hours
        yield Finding(
            "medium",
            f"{_number(summary.total.off_hours, 'connection')} outside office hours",
            f"Office hours: {hours.begins}:00 to {hours.ends}:00, Monday to Friday, local time.",
            _items(entries, lambda entry: f"{entry.off_hours} of {entry.tunnels + entry.keys}"),
        )


def _failures(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.failed)
    if entries:
        yield Finding(
            "low",
            f"{_number(summary.total.failed, 'call')} failed for other reasons",
            "Invalid parameters, limits, or missing resources.",
            _items(entries, lambda entry: f"{entry.failed} of {entry.events} failed: {_codes(entry)}"),
        )


def _changes(summary: Summary) -> Iterator[Finding]:
    if summary.changes:
        items = [
            (row.event.name, f"{row.event.endpoint_id or 'unknown'} by {row.event.principal.label}")
            for row in reversed(summary.changes)
        ]
        yield Finding(
            "medium",
            f"{_number(summary.total.changes, 'endpoint change')}",
            "An endpoint opens its VPC to connections. Confirm each change was intended.",
            tuple(items[:MOST_ITEMS]),
        )


def _durations(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.no_duration)
    if entries:
        yield Finding(
            "low",
            f"{_number(summary.total.no_duration, 'tunnel')} with no max duration",
            "They can last the service's maximum of one hour. A policy with ec2-instance-connect:maxTunnelDuration "
            "enforces less.",
            _items(entries, lambda entry: f"{entry.no_duration} of {_number(entry.tunnels, 'tunnel')}"),
        )


def _unknown_targets(summary: Summary) -> Iterator[Finding]:
    if summary.unknown.found:
        yield Finding(
            "low",
            f"{summary.unknown} {'address' if len(summary.unknown.found) == 1 else 'addresses'} with no known instance",
            "Databases and other services have private addresses, too; or the instance was terminated, and its ID "
            "cannot be determined.",
            tuple((address, "") for address in list(summary.unknown.found)[:MOST_ITEMS]),
        )


def _ports(summary: Summary) -> Iterator[Finding]:
    if summary.odd_ports:
        yield Finding(
            "medium",
            "Requests for ports other than 22 and 3389",
            "The service refuses them.",
            tuple((port, _number(count, "time")) for port, count in summary.odd_ports.most_common(MOST_ITEMS)),
        )


_RULES: tuple[Callable[[Summary], Iterable[Finding]], ...] = (
    _root,
    _denials,
    _sources,
    _off_hours,
    _no_mfa,
    _changes,
    _ports,
    _failures,
    _durations,
    _unknown_targets,
)


def _most(entries: Iterable[Entry], count: Callable[[Entry], int]) -> list[Entry]:
    """The entries that have any, those with most first, the collective one last."""
    found = [entry for entry in entries if count(entry)]
    return sorted(found, key=lambda entry: (entry.label == OTHERS, -count(entry), entry.label))


def _label(summary: Summary, principal: str) -> str:
    entry = summary.principals.get(principal)
    return entry.label if entry else principal


def _items(entries: list[Entry], text: Callable[[Entry], str]) -> tuple[tuple[str, str], ...]:
    return tuple((entry.label, text(entry)) for entry in entries[:MOST_ITEMS])


def _codes(entry: Entry) -> str:
    return ", ".join(f"{code} ({count})" if count > 1 else code for code, count in entry.codes.most_common(4))


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
