"""The findings of a summary: one function per rule. Pure; no I/O.

A finding is no proof of misuse: each says what was counted, so that a reader can judge it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from eicctl.audit.summary import OTHERS, Entry, Summary

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
