"""The report of `eicctl audit`: one HTML page with everything in it, its charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources

from eicctl.audit.correlation import Row
from eicctl.audit.records import TUNNEL
from eicctl.audit.summary import Bucket, Entry, Finding, Summary, findings
from eicctl.support.html import Child, Markup, document, element, joined

MOST_LINES = 100
"""Maximum number of principals, and of targets, listed."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of the report: the source of its events, the filters, when it was generated, and gaps in the data."""

    source: str
    filters: str
    made: datetime
    gaps: Sequence[str] = ()


def page(summary: Summary, heading: Heading) -> str:
    """Return the whole page."""
    found = findings(summary)
    body = element(
        "main",
        _head(summary, heading),
        _cards(summary),
        _section("Over time", timeline(summary), _legend()),
        _section("Findings", _findings(found), long=True),
        _section("By hour of the week", heat(summary), _hours_note(summary)),
        _section("Principals", _principals(summary), long=True),
        _section("Targets", _targets(summary), long=True),
        _section("Endpoint changes", _rows(summary, summary.changes), long=True) if summary.changes else None,
        _section(f"Refused calls, the latest {len(summary.refusals)}", _rows(summary, summary.refusals), long=True)
        if summary.refusals
        else None,
        _section(f"All calls, the latest {len(summary.latest)}", _rows(summary, summary.latest), long=True),
        _foot(summary, heading),
    )
    style = resources.files("eicctl.audit").joinpath("page.css").read_text(encoding="utf-8")
    return document("EC2 Instance Connect Endpoint: access report", style, body)


def _section(title: str, *children: Child, long: bool = False) -> Markup:
    return element("section", element("h2", title), *children, class_="long" if long else None)


def _head(summary: Summary, heading: Heading) -> Markup:
    period = f"{summary.local(summary.begins):%Y-%m-%d %H:%M} to {summary.local(summary.ends):%Y-%m-%d %H:%M}"
    return joined(
        [
            element("h1", "Access through EC2 Instance Connect Endpoints"),
            element(
                "p",
                element("b", period),
                f" ({summary.local(summary.ends):%Z}) · {heading.source}",
                f" · {heading.filters}" if heading.filters else None,
                class_="sub",
            ),
            [element("p", element("span", "incomplete", class_="tag high"), gap) for gap in heading.gaps],
        ]
    )


def _cards(summary: Summary) -> Markup:
    total = summary.total
    cards: list[tuple[str, str, bool]] = [
        (f"{total.tunnels:,}", "tunnel requests", False),
        (f"{total.denied:,}", "calls denied", bool(total.denied)),
        (f"{len(summary.principals):,}", "principals", False),
        (f"{len(summary.targets):,}", "targets", False),
        (str(total.sources), "source addresses", False),
        (f"{total.no_mfa:,}", "calls without MFA", bool(total.no_mfa)),
        (f"{total.changes:,}", "endpoint changes", False),
    ]
    return element(
        "div",
        [
            element(
                "div",
                element("div", number, class_="n"),
                element("div", label, class_="l"),
                class_="card bad" if bad else "card",
            )
            for number, label, bad in cards
        ],
        class_="cards",
    )


def _legend() -> Markup:
    entries = (("ok", "tunnels"), ("other", "keys, endpoint changes and dry runs"), ("refused", "refused"))
    return element("div", [element("span", _swatch(name), label) for name, label in entries], class_="legend")


def _swatch(name: str) -> Markup:
    return element("svg", element("rect", width=11, height=11, rx=2, class_=name), viewBox="0 0 11 11")


def _hours_note(summary: Summary) -> Markup:
    hours = summary.hours
    return element(
        "p", f"Local time. Office hours: {hours.begins}:00 to {hours.ends}:00, Monday to Friday.", class_="note"
    )


def _findings(found: Sequence[Finding]) -> Markup:
    if not found:
        return element("p", "No findings.", class_="empty")
    return joined(
        element(
            "div",
            element("h3", element("span", finding.severity, class_=f"tag {finding.severity}"), finding.title),
            element("p", finding.text),
            element(
                "dl", [(element("dt", what), element("dd", detail)) for what, detail in finding.items], class_="items"
            )
            if finding.items
            else None,
            class_="finding",
        )
        for finding in found
    )


def _principals(summary: Summary) -> Markup:
    heads = ("Principal", "#Tunnels", "#Keys", "#Refused", "#Off hours", "MFA", "From", "#Targets", "Last")
    entries = sorted(summary.principals.values(), key=lambda entry: (-entry.events, entry.label))
    lines = [
        (
            joined([entry.label, element("span", entry.detail, class_="small")]),
            f"{entry.tunnels:,}",
            f"{entry.keys:,}",
            _bad(entry.refused),
            f"{entry.off_hours:,}",
            element("span", _mfa(entry), class_="when"),
            _some(entry.sources.found, entry.sources.more),
            str(entry.peers),
            _when(summary, entry.last),
        )
        for entry in entries[:MOST_LINES]
    ]
    return _table(heads, lines, len(entries))


def _targets(summary: Summary) -> Markup:
    heads = ("Target", "#Tunnels", "#Refused", "#Off hours", "Ports", "Principals", "First", "Last")
    entries = sorted(summary.targets.values(), key=lambda entry: (-entry.events, entry.label))
    lines = [
        (
            joined([entry.label, element("span", entry.detail, class_="small")]),
            f"{entry.tunnels:,}",
            _bad(entry.refused),
            f"{entry.off_hours:,}",
            ", ".join(port for port, _ in entry.ports.most_common(4)),
            _some(entry.peers.found, entry.peers.more),
            _when(summary, entry.first),
            _when(summary, entry.last),
        )
        for entry in entries[:MOST_LINES]
    ]
    return _table(heads, lines, len(entries))


def _rows(summary: Summary, rows: Iterable[Row]) -> Markup:
    heads = ("When", "What", "Who", "MFA", "From", "Target", "Port", "Outcome")
    lines = [
        (
            _when(summary, row.event.time),
            "tunnel" if row.event.name == TUNNEL else row.event.name,
            joined([row.event.principal.label, _small(row.os_user and f"as {row.os_user}")]),
            {True: "yes", False: "no", None: "?"}[row.event.principal.mfa],
            joined([row.event.source_ip, _small(row.event.user_agent[:60])]),
            joined([row.target or row.event.endpoint_id, _small(_target_detail(row))]),
            str(row.event.port or ""),
            _outcome(row),
        )
        for row in reversed(list(rows))
    ]
    return _table(heads, lines, len(lines))


def _target_detail(row: Row) -> str:
    return " ".join(part for part in (row.instance_id, row.event.address) if part and part != row.target)


def _outcome(row: Row) -> Markup:
    if not row.event.refused:
        return element("span", row.event.outcome, class_="good")
    return joined([element("span", row.event.error_code, class_="bad"), _small(row.event.error_message[:300])])


def _small(text: str) -> Markup | None:
    return element("span", text, class_="small") if text else None


def _bad(count: int) -> Child:
    return element("span", f"{count:,}", class_="bad") if count else "0"


def _mfa(entry: Entry) -> str:
    unknown = entry.events - entry.mfa - entry.no_mfa
    parts = [f"{count:,} {word}" for count, word in ((entry.mfa, "yes"), (entry.no_mfa, "no"), (unknown, "?")) if count]
    return ", ".join(parts)


def _some(names: Iterable[str], more: bool) -> str:
    found = list(names)
    shown = ", ".join(found[:4])
    return f"{shown} and {len(found) - 4}{'+' if more else ''} more" if len(found) > 4 else shown


def _when(summary: Summary, time: datetime | None) -> Markup | None:
    return element("span", f"{summary.local(time):%Y-%m-%d %H:%M}", class_="when") if time else None


def _table(heads: Sequence[str], lines: Sequence[Sequence[Child]], total: int) -> Markup:
    """A table. A heading that begins with `#` is that of numbers."""
    if not lines:
        return element("p", "None.", class_="empty")
    kinds = ["num" if head.startswith("#") else None for head in heads]
    head = element("tr", [element("th", h.lstrip("#"), class_=kind) for h, kind in zip(heads, kinds, strict=True)])
    body = [
        element("tr", [element("td", cell, class_=kind) for cell, kind in zip(line, kinds, strict=True)])
        for line in lines
    ]
    more = element("p", f"{total - len(lines):,} more not listed.", class_="note") if total > len(lines) else None
    return joined(
        [element("div", element("table", element("thead", head), element("tbody", body)), class_="scroll"), more]
    )


def _foot(summary: Summary, heading: Heading) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "Source: CloudTrail. It does not record when a tunnel ends, so durations are unknown, nor a tunnel's "
            "instance ID: targets are identified by address, launch and pushed key, and left unnamed if that is "
            "ambiguous. MFA “?” means that the record does not say.",
        ),
        element("p", f"Generated by eicctl audit, {summary.local(heading.made):%Y-%m-%d %H:%M %Z}."),
    )


_WIDTH, _HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 12, 30
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CELL_WIDTH, _CELL_HEIGHT, _GAP = 36, 20, 2
_SHADES = 5


def timeline(summary: Summary) -> Markup:
    """Return bars over the period: tunnels, what else was done, and what was refused."""
    top = _rounded_up(max((_sum(bucket) for bucket in summary.buckets), default=0))
    scale = (_HEIGHT - _TOP - _BOTTOM) / top
    step = (_WIDTH - _LEFT - _RIGHT) / len(summary.buckets)
    bars = [_bar(summary, bucket, _LEFT + index * step, step, scale) for index, bucket in enumerate(summary.buckets)]
    return element(
        "svg",
        element("title", f"Events over time, {_span(summary.width)} a bar"),
        _grid(top, scale),
        bars,
        _time_axis(summary, step),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        class_="timeline",
    )


def heat(summary: Summary) -> Markup:
    """Return a field for each hour of the week, the darker the more happened in it."""
    most = max((count for day in summary.heat for count in day), default=0)
    fields: list[Markup] = []
    for day, counts in enumerate(summary.heat):
        y = 18 + day * (_CELL_HEIGHT + _GAP)
        fields.append(element("text", _DAYS[day], x=36, y=y + 14, class_="axis end"))
        for hour, count in enumerate(counts):
            shade = math.ceil(count / most * _SHADES) if most else 0
            fields.append(
                element(
                    "rect",
                    element("title", f"{_DAYS[day]} {hour}:00: {count}"),
                    x=_LEFT + hour * (_CELL_WIDTH + _GAP),
                    y=y,
                    width=_CELL_WIDTH,
                    height=_CELL_HEIGHT,
                    rx=3,
                    class_=f"shade{shade}{'' if _works(summary, day, hour) else ' off'}",
                )
            )
    hours = [
        element(
            "text", f"{hour:02}", x=_LEFT + hour * (_CELL_WIDTH + _GAP) + _CELL_WIDTH / 2, y=11, class_="axis middle"
        )
        for hour in range(24)
    ]
    height = 18 + 7 * (_CELL_HEIGHT + _GAP)
    title = element("title", "Events by weekday and hour, local time")
    return element("svg", title, hours, fields, viewBox=f"0 0 {_WIDTH} {height}", role="img", class_="heat")


def _works(summary: Summary, day: int, hour: int) -> bool:
    return day < 5 and summary.hours.begins <= hour < summary.hours.ends


def _sum(bucket: Bucket) -> int:
    return bucket.ok + bucket.other + bucket.refused


def _bar(summary: Summary, bucket: Bucket, x: float, step: float, scale: float) -> Markup:
    if not _sum(bucket):
        return Markup("")
    parts: list[Markup] = []
    floor = float(_HEIGHT - _BOTTOM)
    for name, count in (("ok", bucket.ok), ("other", bucket.other), ("refused", bucket.refused)):
        if count:
            height = max(count * scale, 2)
            floor -= height
            width = max(step - min(2, step / 4), 1)
            parts.append(
                element(
                    "rect", x=f"{x:.2f}", y=f"{floor:.2f}", width=f"{width:.2f}", height=f"{height:.2f}", class_=name
                )
            )
    when = f"{summary.local(bucket.begins):%a %Y-%m-%d %H:%M}"
    label = f"{when}: {bucket.ok} tunnels, {bucket.other} others, {bucket.refused} refused"
    return element("g", element("title", label), parts)


def _grid(top: int, scale: float) -> Markup:
    lines: list[Markup] = []
    parts = next(count for count in (4, 5, 3, 2, 1) if top % count == 0)
    for part in range(parts + 1):
        value = top * part // parts
        y = _HEIGHT - _BOTTOM - value * scale
        lines.append(element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        lines.append(element("text", f"{value:,}", x=_LEFT - 6, y=f"{y + 4:.1f}", class_="axis end"))
    return joined(lines)


def _time_axis(summary: Summary, step: float) -> Markup:
    """Labels below the bars, some 100 units apart, at round times where the bars have such."""
    every = max(1, math.ceil(100 / step))
    form = "%d %b" if summary.width >= timedelta(days=1) else "%d %b %H:%M"
    labels: list[Markup] = []
    for index in range(0, len(summary.buckets), every):
        x = _LEFT + index * step
        if x > _WIDTH - 70:
            break
        labels.append(
            element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=_HEIGHT - _BOTTOM, y2=_HEIGHT - _BOTTOM + 5, class_="tick")
        )
        text = summary.local(summary.buckets[index].begins).strftime(form).lstrip("0")
        labels.append(element("text", text, x=f"{x:.1f}", y=_HEIGHT - 10, class_="axis"))
    return joined(labels)


def _rounded_up(count: int) -> int:
    """The next of 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, …: a scale that divides well."""
    size = 1
    while True:
        for factor in (1, 2, 3, 4, 5, 6, 8):
            if count <= factor * size:
                return factor * size
        size *= 10


def _span(width: timedelta) -> str:
    minutes = int(width.total_seconds() // 60)
    if minutes >= 1_440:
        return f"{minutes // 1_440} d"
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min"
