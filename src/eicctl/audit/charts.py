"""The report's drawings, as SVG in the page. Pure; no I/O."""

from __future__ import annotations

import math
from datetime import timedelta

from eicctl.audit.summary import Bucket, Summary
from eicctl.support.html import Markup, element, joined

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
