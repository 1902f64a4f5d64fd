"""The report of `eicctl audit`: one HTML page with everything in it, its charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources

from eicctl.audit.correlation import Row
from eicctl.audit.records import TUNNEL
from eicctl.audit.summary import Bucket, Entry, Finding, Members, Summary, findings
from eicctl.core.names import counted
from eicctl.support.html import Child, Markup, document, element, table

MOST_LINES = 100
"""Maximum number of principals, and of targets, listed."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of the report: the source of its events, the filters, when it was generated, and gaps in the data."""

    source: str
    filters: str
    generated: datetime
    gaps: Sequence[str] = ()


def page(summary: Summary, heading: Heading) -> str:
    """Return the whole page."""
    hours = f"Office hours: {summary.hours.begins}:00 to {summary.hours.ends}:00, Monday to Friday."
    colors = (("ok", "tunnels"), ("other", "keys, endpoint changes and dry runs"), ("refused", "refused"))
    legend = element("div", [element("span", _swatch(name), label) for name, label in colors], class_="legend")
    sections: tuple[tuple[str, Sequence[Child], bool], ...] = (
        ("Over time", [timeline(summary), legend], False),
        ("Findings", _findings(findings(summary)), True),
        ("By hour of the week", [heat(summary), element("p", f"Local time. {hours}", class_="note")], False),
        ("Principals", _principals(summary), True),
        ("Targets", _targets(summary), True),
        ("Endpoint changes", _rows(summary, summary.changes), True),
        (f"Refused calls, the latest {len(summary.refusals)}", _rows(summary, summary.refusals), True),
        (f"All calls, the latest {len(summary.latest)}", _rows(summary, summary.latest) or [_note("None.")], True),
    )
    body = element(
        "main",
        _head(summary, heading),
        _cards(summary),
        [
            element("section", element("h2", title), *content, class_="long" if long else None, data_group="")
            for title, content, long in sections
            if content
        ],
        _foot(summary, heading),
    )
    style = resources.files("eicctl.audit").joinpath("page.css").read_text(encoding="utf-8")
    return document("EC2 Instance Connect Endpoint: access report", style, body)


def _head(summary: Summary, heading: Heading) -> Iterable[Child]:
    period = f"{_local(summary, summary.begins)} to {_local(summary, summary.ends)}"
    details = f" ({summary.local(summary.ends):%Z}) · {heading.source}"
    yield element("h1", "Access through EC2 Instance Connect Endpoints")
    filters = f" · {heading.filters}" if heading.filters else None
    yield element("p", element("b", period), details, filters, class_="sub")
    for gap in heading.gaps:
        yield element("p", element("span", "incomplete", class_="tag high"), gap)
    yield element("div", data_search="")


def _cards(summary: Summary) -> Markup:
    total = summary.total
    cards: tuple[tuple[str, str, bool], ...] = (
        (f"{total.tunnels:,}", "tunnel requests", False),
        (f"{total.denied:,}", "calls denied", bool(total.denied)),
        (f"{len(summary.principals):,}", "principals", False),
        (f"{len(summary.targets):,}", "targets", False),
        (str(total.sources), "source addresses", False),
        (f"{total.no_mfa:,}", "calls without MFA", bool(total.no_mfa)),
        (f"{total.changes:,}", "endpoint changes", False),
    )
    drawn = (
        element("div", _div("n", number), _div("l", label), class_="card bad" if bad else "card")
        for number, label, bad in cards
    )
    return _div("cards", drawn)


def _findings(found: Sequence[Finding]) -> Sequence[Child]:
    return [
        element(
            "div",
            element("h3", element("span", each.severity, class_=f"tag {each.severity}"), each.title),
            element("p", each.text),
            element("dl", [(element("dt", what), element("dd", detail)) for what, detail in each.items], class_="items")
            if each.items
            else None,
            class_="finding",
            data_item="",
        )
        for each in found
    ] or [_note("No findings.")]


def _principals(summary: Summary) -> Sequence[Child]:
    heads = ("Principal", "#Tunnels", "#Keys", "#Refused", "#Off hours", "MFA", "From", "#Targets", "Last")

    def cells(entry: Entry) -> Sequence[Child]:
        mfa = ((entry.mfa, "yes"), (entry.no_mfa, "no"), (entry.events - entry.mfa - entry.no_mfa, "?"))
        return (
            [entry.label, _small(entry.detail)],
            f"{entry.tunnels:,}",
            f"{entry.keys:,}",
            _bad(entry.refused),
            f"{entry.off_hours:,}",
            element("span", ", ".join(f"{count:,} {word}" for count, word in mfa if count), class_="when"),
            _some(entry.sources),
            str(entry.peers),
            _when(summary, entry.last),
        )

    return _entries(heads, summary.principals.values(), cells)


def _targets(summary: Summary) -> Sequence[Child]:
    heads = ("Target", "#Tunnels", "#Refused", "#Off hours", "Ports", "Principals", "First", "Last")

    def cells(entry: Entry) -> Sequence[Child]:
        return (
            [entry.label, _small(entry.detail)],
            f"{entry.tunnels:,}",
            _bad(entry.refused),
            f"{entry.off_hours:,}",
            ", ".join(port for port, _ in entry.ports.most_common(4)),
            _some(entry.peers),
            _when(summary, entry.first),
            _when(summary, entry.last),
        )

    return _entries(heads, summary.targets.values(), cells)


def _entries(heads: Sequence[str], entries: Iterable[Entry], cells: Callable[[Entry], Sequence[Child]]) -> list[Child]:
    """A table of the entries with the most events, and how many others there are."""
    ordered = sorted(entries, key=lambda entry: (-entry.events, entry.label))
    if not ordered:
        return [_note("None.")]
    rest = len(ordered) - MOST_LINES
    rows = _div("scroll", table(heads, [(cells(entry), None) for entry in ordered[:MOST_LINES]]))
    return [rows, element("p", f"{rest:,} more not listed.", class_="note") if rest > 0 else None]


def _rows(summary: Summary, rows: Iterable[Row]) -> list[Child]:
    heads = ("When", "What", "Who", "MFA", "From", "Target", "Port", "Outcome")
    lines = []
    for row in reversed(list(rows)):
        event = row.event
        details = " ".join(part for part in (row.instance_id, event.address) if part and part != row.target)
        refusal = [element("span", event.error_code, class_="bad"), _small(event.error_message[:300])]
        cells: Sequence[Child] = (
            _when(summary, event.time),
            "tunnel" if event.name == TUNNEL else event.name,
            [event.principal.label, _small(row.os_user and f"as {row.os_user}")],
            {True: "yes", False: "no", None: "?"}[event.principal.mfa],
            [event.source_ip, _small(event.user_agent[:60])],
            [row.target or event.endpoint_id, _small(details)],
            str(event.port or ""),
            refusal if event.refused else element("span", event.outcome, class_="good"),
        )
        lines.append((cells, None))
    return [_div("scroll", table(heads, lines))] if lines else []


def _foot(summary: Summary, heading: Heading) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "Source: CloudTrail. It does not record when a tunnel ends, so durations are unknown, nor a tunnel's "
            "instance ID: targets are identified by address, launch and pushed key, and left unnamed if that is "
            "ambiguous. MFA “?” means that the record does not say.",
        ),
        element("p", f"Generated by eicctl audit, {summary.local(heading.generated):%Y-%m-%d %H:%M %Z}."),
    )


def _div(name: str, *children: Child) -> Markup:
    return element("div", *children, class_=name)


def _note(text: str) -> Markup:
    return element("p", text, class_="empty")


def _small(text: str) -> Markup | None:
    return element("span", text, class_="small") if text else None


def _bad(count: int) -> Child:
    return element("span", f"{count:,}", class_="bad") if count else "0"


def _some(members: Members) -> str:
    names = list(members.found)
    more = f" and {len(names) - 4}{'+' if members.more else ''} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"


def _local(summary: Summary, time: datetime) -> str:
    return f"{summary.local(time):%Y-%m-%d %H:%M}"


def _when(summary: Summary, time: datetime | None) -> Markup | None:
    return element("span", _local(summary, time), class_="when") if time else None


# Charts

_WIDTH, _HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 12, 30
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CELL_WIDTH, _CELL_HEIGHT, _GAP = 36, 20, 2
_SHADES = 5


def timeline(summary: Summary) -> Markup:
    """Return bars over the period: tunnels, other events, and refused calls."""
    top = _rounded_up(max((bucket.total for bucket in summary.buckets), default=0))
    scale = (_HEIGHT - _TOP - _BOTTOM) / top
    step = (_WIDTH - _LEFT - _RIGHT) / len(summary.buckets)
    minutes = int(summary.width.total_seconds() // 60)
    unit, name = (1440, "d") if minutes >= 1440 else (60, "h") if minutes >= 60 else (1, "min")
    bars = [_bar(summary, bucket, _LEFT + index * step, step, scale) for index, bucket in enumerate(summary.buckets)]
    title = element("title", f"Events over time, {minutes // unit} {name} a bar")
    return _svg("timeline", _HEIGHT, title, _grid(top, scale), bars, _time_axis(summary, step))


def heat(summary: Summary) -> Markup:
    """Return a field for each hour of the week, the darker the more events."""
    most = max((count for day in summary.heat for count in day), default=0)
    fields: list[Markup] = []
    for day, counts in enumerate(summary.heat):
        y = 18 + day * (_CELL_HEIGHT + _GAP)
        fields.append(element("text", _DAYS[day], x=36, y=y + 14, class_="axis end"))
        for hour, count in enumerate(counts):
            shade = math.ceil(count / most * _SHADES) if most else 0
            off = "" if day < 5 and summary.hours.begins <= hour < summary.hours.ends else " off"
            title = element("title", f"{_DAYS[day]} {hour}:00: {count}")
            size = {"width": _CELL_WIDTH, "height": _CELL_HEIGHT, "rx": 3}
            x = _LEFT + hour * (_CELL_WIDTH + _GAP)
            fields.append(element("rect", title, x=x, y=y, **size, class_=f"shade{shade}{off}"))
    middle = _LEFT + _CELL_WIDTH / 2
    hours = [
        element("text", f"{hour:02}", x=middle + hour * (_CELL_WIDTH + _GAP), y=11, class_="axis middle")
        for hour in range(24)
    ]
    title = element("title", "Events by weekday and hour, local time")
    return _svg("heat", 18 + 7 * (_CELL_HEIGHT + _GAP), title, hours, fields)


def _svg(name: str, height: int, *children: Child) -> Markup:
    return element("svg", *children, viewBox=f"0 0 {_WIDTH} {height}", role="img", class_=name)


def _swatch(name: str) -> Markup:
    return element("svg", element("rect", width=11, height=11, rx=2, class_=name), viewBox="0 0 11 11")


def _bar(summary: Summary, bucket: Bucket, x: float, step: float, scale: float) -> Markup | None:
    if not bucket.total:
        return None
    parts: list[Markup] = []
    floor = float(_HEIGHT - _BOTTOM)
    width = f"{max(step - min(2, step / 4), 1):.2f}"
    for name, count in (("ok", bucket.ok), ("other", bucket.other), ("refused", bucket.refused)):
        if count:
            height = max(count * scale, 2)
            floor -= height
            size = {"width": width, "height": f"{height:.2f}"}
            parts.append(element("rect", x=f"{x:.2f}", y=f"{floor:.2f}", **size, class_=name))
    when = f"{summary.local(bucket.begins):%a %Y-%m-%d %H:%M}"
    label = f"{when}: {counted(bucket.ok, 'tunnel')}, {counted(bucket.other, 'other')}, {bucket.refused:,} refused"
    return element("g", element("title", label), parts)


def _grid(top: int, scale: float) -> list[Markup]:
    lines: list[Markup] = []
    parts = next(count for count in (4, 5, 3, 2, 1) if top % count == 0)
    for value in range(0, top + 1, top // parts):
        y = _HEIGHT - _BOTTOM - value * scale
        lines.append(element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        lines.append(element("text", f"{value:,}", x=_LEFT - 6, y=f"{y + 4:.1f}", class_="axis end"))
    return lines


def _time_axis(summary: Summary, step: float) -> list[Markup]:
    """Labels below the bars, some 100 units apart, at round times if the bars have such."""
    form = "%d %b" if summary.width >= timedelta(days=1) else "%d %b %H:%M"
    labels: list[Markup] = []
    for index in range(0, len(summary.buckets), max(1, math.ceil(100 / step))):
        at, low = _LEFT + index * step, _HEIGHT - _BOTTOM
        if at > _WIDTH - 70:
            break
        x = f"{at:.1f}"
        labels.append(element("line", x1=x, x2=x, y1=low, y2=low + 5, class_="tick"))
        text = summary.local(summary.buckets[index].begins).strftime(form).lstrip("0")
        labels.append(element("text", text, x=x, y=_HEIGHT - 10, class_="axis"))
    return labels


def _rounded_up(count: int) -> int:
    """The next of 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, …: a scale that divides well."""
    size = 1
    while count > 8 * size:
        size *= 10
    return next(factor * size for factor in (1, 2, 3, 4, 5, 6, 8) if count <= factor * size)
