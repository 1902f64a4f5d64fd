"""Rows as counts, one row after the other, in bounded memory; and the findings of these. No I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from eicctl.audit.correlation import Row
from eicctl.audit.records import CHANGES, KEY, TUNNEL, Event
from eicctl.core.names import counted

MOST_ENTRIES = 2_000
"""Principals, and targets, that are counted separately; the rest are counted together."""

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
    """The counts of a principal or a target. `events` are all; `changes` are the endpoint changes that succeeded."""

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
        """Calls that were refused, for any reason."""
        return self.denied + self.failed


@dataclass(slots=True)
class Bucket:
    """The number of events in a part of the period."""

    begins: datetime
    ok: int = 0
    refused: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.ok + self.refused + self.other


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
        event, who, local = row.event, row.event.principal, self.local(row.event.time)
        off_hours = event.succeeded and event.name in (TUNNEL, KEY) and not self.hours.have(local)
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
        self._add_to_charts(event, local)
        self._keep(row, who.arn or who.label)

    def _add_to_charts(self, event: Event, local: datetime) -> None:
        index = int((event.time - self.buckets[0].begins) / self.width)
        bucket = self.buckets[max(0, min(index, len(self.buckets) - 1))]
        if event.refused:
            bucket.refused += 1
        elif event.name == TUNNEL:
            bucket.ok += 1
        else:
            bucket.other += 1
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
    if key not in entries:
        entries[key] = Entry(label, detail, kind)
    return entries[key]


def _count(entry: Entry, row: Row, off_hours: bool) -> None:
    event, outcome = row.event, row.event.outcome
    entry.first = entry.first or event.time
    entry.last = event.time
    entry.sources.add(event.source_ip)
    entry.events += 1
    if event.name == TUNNEL:
        entry.tunnels += 1
        entry.no_duration += event.duration is None and outcome == "allowed"
        if len(entry.ports) < MOST_MEMBERS:
            entry.ports[str(event.port or "-")] += 1
    elif event.name == KEY:
        entry.keys += 1
    else:
        entry.changes += outcome == "ok"
    entry.denied += outcome == "denied"
    entry.failed += outcome == "failed"
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
    """Return the findings, the most severe first.

    A finding is not proof of misuse: each says what was counted, so that a reader can judge it.
    """
    found = [*_of_principals(summary), *_sources(summary), *_of_calls(summary)]
    return sorted(found, key=lambda finding: ("high", "medium", "low").index(finding.severity))


def _unknown_mfa(entry: Entry) -> int:
    return entry.events - entry.mfa - entry.no_mfa


_BY_PRINCIPAL: tuple[tuple[Severity, Callable[[Entry], int], str, str, str], ...] = (
    (
        "high",
        lambda entry: entry.events if entry.kind == "Root" else 0,
        "Root user activity",
        "Policies of the account cannot restrict root, and tunnels never need it.",
        "{events_}",
    ),
    (
        "high",
        lambda entry: entry.denied,
        "{call} denied",
        "A policy or the credentials did not allow these. A few are everyday mistakes; many, or many kinds, "
        "suggest someone probing for permissions.",
        "{count} of {events} denied: {codes}",
    ),
    (
        "medium",
        lambda entry: entry.off_hours,
        "{connection} outside office hours",
        "Office hours: {begins}:00 to {ends}:00, Monday to Friday, local time.",
        "{count} of {connections}",
    ),
    (
        "medium",
        lambda entry: entry.no_mfa,
        "{call} by sessions without MFA",
        "The record says that the session was created without MFA. This includes role sessions of machines and of "
        "identity providers, even if their users passed MFA there.",
        "{count} of {events}",
    ),
    (
        "low",
        _unknown_mfa,
        "{call} with unknown MFA status",
        "CloudTrail does not record MFA for long-lived access keys.",
        "{count} of {events}",
    ),
    (
        "low",
        lambda entry: entry.failed,
        "{call} failed for other reasons",
        "Invalid parameters, limits, or missing resources.",
        "{count} of {events} failed: {codes}",
    ),
    (
        "low",
        lambda entry: entry.no_duration,
        "{tunnel} with no max duration",
        "They can last the service's maximum of one hour. A policy with ec2-instance-connect:maxTunnelDuration "
        "enforces less.",
        "{count} of {tunnels_}",
    ),
)
"""Findings that count something of each principal: severity, what is counted, title, text, and the detail of one."""


def _of_principals(summary: Summary) -> Iterator[Finding]:
    for severity, count, title, text, detail in _BY_PRINCIPAL:
        entries = [entry for entry in summary.principals.values() if count(entry)]
        if not entries:
            continue
        # Those with most first, the collective one last.
        entries.sort(key=lambda entry: (entry.label == OTHERS, -count(entry), entry.label))
        counts = {word: counted(count(summary.total), word) for word in ("call", "connection", "tunnel")}
        hours = {"begins": summary.hours.begins, "ends": summary.hours.ends}
        items = tuple((entry.label, _detail(detail, entry, count(entry))) for entry in entries[:MOST_ITEMS])
        yield Finding(severity, title.format(**counts), text.format(**hours), items)


def _detail(text: str, entry: Entry, count: int) -> str:
    codes = (f"{code} ({number})" if number > 1 else code for code, number in entry.codes.most_common(4))
    return text.format(
        count=count,
        events=entry.events,
        events_=counted(entry.events, "event"),
        connections=entry.tunnels + entry.keys,
        tunnels_=counted(entry.tunnels, "tunnel"),
        codes=", ".join(codes),
    )


def _sources(summary: Summary) -> Iterator[Finding]:
    """Addresses of the second half of the period, by principals that were seen from others in the first."""
    middle = f"{summary.local(summary.middle):%Y-%m-%d %H:%M}"
    early = {principal for (principal, _), time in summary.first_seen.items() if time < summary.middle}
    new: list[tuple[str, str]] = []
    newcomers: dict[str, tuple[str, str]] = {}
    for (principal, source), time in summary.first_seen.items():
        entry, first = summary.principals.get(principal), f"first at {summary.local(time):%Y-%m-%d %H:%M}"
        label = entry.label if entry else principal
        if principal not in early:
            newcomers.setdefault(principal, (label, first))
        elif time >= summary.middle:
            new.append((label, f"{source}, {first}"))
    if new:
        title = counted(len(new), "new source address", "new source addresses")
        text = f"Not seen with these principals in the first half of the period, before {middle}."
        yield Finding("medium", title, text, tuple(new[:MOST_ITEMS]))
    if early and newcomers:
        title, text = counted(len(newcomers), "new principal"), "Not seen in the first half of the period."
        yield Finding("low", title, text, tuple(newcomers.values())[:MOST_ITEMS])


def _of_calls(summary: Summary) -> Iterator[Finding]:
    if summary.changes:
        items = [
            (row.event.name, f"{row.event.endpoint_id or 'unknown'} by {row.event.principal.label}")
            for row in reversed(summary.changes)
        ]
        text = "An endpoint opens its VPC to connections. Confirm each change was intended."
        title = counted(summary.total.changes, "endpoint change")
        yield Finding("medium", title, text, tuple(items[:MOST_ITEMS]))
    if summary.odd_ports:
        ports = summary.odd_ports.most_common(MOST_ITEMS)
        items = [(port, counted(count, "time")) for port, count in ports]
        yield Finding("medium", "Requests for ports other than 22 and 3389", "The service refuses them.", tuple(items))
    if unknown := list(summary.unknown.found):
        yield Finding(
            "low",
            f"{summary.unknown} {'address' if len(unknown) == 1 else 'addresses'} with no known instance",
            "Databases and other services have private addresses, too; or the instance was terminated, and its ID "
            "cannot be determined.",
            tuple((address, "") for address in unknown[:MOST_ITEMS]),
        )
