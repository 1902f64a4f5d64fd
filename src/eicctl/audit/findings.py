"""What stands out of a summary: rules, each a function. Pure; no I/O.

None of this is proof of anything. Each finding says what was counted, so that a reader can judge it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from eicctl.audit.summary import OTHERS, Entry, Summary

MOST_ITEMS = 12
"""Examples that a finding names."""

Severity = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to look at. `items` are examples: what, and what is to say of it."""

    severity: Severity
    title: str
    text: str
    items: tuple[tuple[str, str], ...] = ()


def findings(summary: Summary) -> list[Finding]:
    """Return what stands out, the gravest first."""
    found = [finding for rule in _RULES for finding in rule(summary)]
    return sorted(found, key=lambda finding: ("high", "medium", "low").index(finding.severity))


def _root(summary: Summary) -> Iterator[Finding]:
    entries = [entry for entry in summary.principals.values() if entry.kind == "Root"]
    if entries:
        yield Finding(
            "high",
            "The root user has been used",
            "Root cannot be limited by a policy of the account; tunnels need it for nothing.",
            _items(entries, lambda entry: _number(entry.events, "event")),
        )


def _denials(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.denied)
    if entries:
        yield Finding(
            "high",
            f"{_number(summary.total.denied, 'call')} denied",
            "A policy, or the credentials, did not allow these. A few are everyday mistakes; many, or of many kinds, "
            "are someone who tries what they may do.",
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
            "The record says that the session was made without MFA. Role sessions of machines and of identity "
            "providers say so too, whatever their users had to show.",
            _items(entries, lambda entry: f"{entry.no_mfa} of {entry.events}"),
        )
    unknown = _most(summary.principals.values(), _mfa_unknown)
    if unknown:
        yield Finding(
            "low",
            f"{_number(_mfa_unknown(summary.total), 'call')} whose record says nothing of MFA",
            "This is so for long-lived access keys, which have no session that MFA could belong to.",
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
            f"{_number(summary.total.off_hours, 'connection')} outside of office hours",
            f"Office hours are taken to be {hours.begins}:00 to {hours.ends}:00, Monday to Friday, local time.",
            _items(entries, lambda entry: f"{entry.off_hours} of {entry.tunnels + entry.keys}"),
        )


def _failures(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.failed)
    if entries:
        yield Finding(
            "low",
            f"{_number(summary.total.failed, 'call')} failed for another reason",
            "Wrong parameters, limits, or something that did not exist.",
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
            "An endpoint is a way into its VPC; each change should have been meant.",
            tuple(items[:MOST_ITEMS]),
        )


def _durations(summary: Summary) -> Iterator[Finding]:
    entries = _most(summary.principals.values(), lambda entry: entry.no_duration)
    if entries:
        yield Finding(
            "low",
            f"{_number(summary.total.no_duration, 'tunnel')} without a longest duration",
            "They could last the service's hour. A policy with ec2-instance-connect:maxTunnelDuration makes clients "
            "ask for less.",
            _items(entries, lambda entry: f"{entry.no_duration} of {_number(entry.tunnels, 'tunnel')}"),
        )


def _unknown_targets(summary: Summary) -> Iterator[Finding]:
    if summary.unknown.found:
        yield Finding(
            "low",
            f"{summary.unknown} {'address' if len(summary.unknown.found) == 1 else 'addresses'} of no known instance",
            "Databases and other services have private addresses too; else the instance is gone, and nothing here "
            "tells which it was.",
            tuple((address, "") for address in list(summary.unknown.found)[:MOST_ITEMS]),
        )


def _ports(summary: Summary) -> Iterator[Finding]:
    if summary.odd_ports:
        yield Finding(
            "medium",
            "Ports other than 22 and 3389 were asked for",
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
