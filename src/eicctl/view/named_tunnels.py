"""Statuses of named tunnels as rows, and as a live table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eicctl.core.columns import fit
from eicctl.core.sanitize import line as one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from eicctl.named_tunnels.status import Status

COLUMNS = {
    "Name": "Name",
    "Kind": "Kind",
    "State": "State",
    "Local": "Local",
    "Remote": "Remote",
    "Through": "Through",
    "Conns": "Connections",
    "In": "In",
    "Out": "Out",
    "Rate": "Rate",
    "Left": "Left",
}
"""Headings of the table, and the keys of `shown`."""

_HEADINGS = {key: heading for heading, key in COLUMNS.items()}

_CUT = {"Remote": 12, "Through": 10}
"""Columns that may be cut, and their minimum widths."""

DROPPABLE = ("Kind", "Out", "In", "Through", "Rate", "Conns", "Remote", "Left")
"""Headings of columns that a narrow terminal does without, in this order."""

_DROPPED = tuple(COLUMNS[heading] for heading in DROPPABLE)
"""Their keys."""

STYLES = {
    "open": "green",
    "opening": "cyan",
    "failing": "yellow",
    "retrying": "yellow",
    "closed": "dim",
    "lost": "red",
    "unknown": "red",
}


def row(status: Status, pid: int | None = None) -> dict[str, object]:
    """Return a status as `--output json` prints it."""
    found: dict[str, object] = {
        "Name": status.name,
        "Kind": status.kind,
        "State": status.state,
        "LocalAddresses": list(status.local),
        "LocalPort": _port(status),
        "Remote": status.remote,
        "Through": status.via,
        "Connections": status.connections,
        "TotalConnections": status.total,
        "BytesIn": status.bytes_in,
        "BytesOut": status.bytes_out,
        "BytesInPerSecond": round(status.rate_in),
        "BytesOutPerSecond": round(status.rate_out),
        "SecondsLeft": None if status.seconds_left is None else round(status.seconds_left),
        "Since": _time(status.since),
        "RetryInSeconds": None if status.retry_in is None else round(status.retry_in, 1),
        "Error": status.error or None,
        "Hint": status.hint or None,
        "File": status.source,
    }
    return found if pid is None else found | {"Pid": pid or None}


def shown(status: Status) -> dict[str, str]:
    """Return a status as the table shows it."""
    again = f" in {status.retry_in:.0f} s" if status.retry_in is not None else ""
    return {
        "Name": status.name,
        "Kind": status.kind,
        "State": status.state + again,
        "Local": status.local[0] if status.local else "",
        "Remote": status.remote,
        "Through": status.via,
        "Connections": f"{status.connections} of {status.total}" if status.total else "",
        "In": _bytes(status.bytes_in),
        "Out": _bytes(status.bytes_out),
        "Rate": _rate(status.rate_in + status.rate_out),
        "Left": "" if status.seconds_left is None else _left(status.seconds_left),
    }


def troubles(statuses: Sequence[Status]) -> list[str]:
    """Return the error and hint of each tunnel that has one, as lines."""
    lines = []
    for status in statuses:
        if status.error:
            lines.append(f"{status.name}: {status.error}")
            lines += [f"{status.name}: hint: {status.hint}"] if status.hint else []
    return lines


def live_table(statuses: Sequence[Status], footer: str, width: int) -> RenderableType:
    """Return the table of the tunnels for a terminal of this width."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = [{key: one_line(text) for key, text in shown(status).items()} for status in statuses]
    table = Table(box=None, pad_edge=False, header_style="bold")
    fitted = fitting(rows, width)
    for key, size in fitted.items():
        right = key in ("Connections", "In", "Out", "Rate", "Left")
        table.add_column(_HEADINGS[key], no_wrap=True, width=size, justify="right" if right else "left")
    for status, row in zip(statuses, rows, strict=True):
        cells = {key: Text(row[key], overflow="ellipsis") for key in fitted}
        cells["State"].stylize(STYLES[status.state])
        table.add_row(*cells.values())
    notes = [Text(one_line(line), style="yellow") for line in troubles(statuses)]
    return Group(table, *notes, Text(footer, style="dim"))


def fitting(rows: Sequence[Mapping[str, str]], width: int) -> dict[str, int]:
    """Return the columns that fit the terminal, with their widths.

    If space is short, the columns of `_CUT` are cut first; then those of `_DROPPED` are omitted.
    """
    from rich.cells import cell_len

    keys = list(_HEADINGS)
    used = [key for key in keys if any(row[key] for row in rows) or key not in _DROPPED]
    sizes = [max(map(cell_len, (_HEADINGS[key], *(row[key] for row in rows)))) if key in used else 0 for key in keys]
    most = {keys.index(key): least for key, least in _CUT.items()}
    widths = fit(sizes, width, [keys.index(key) for key in _DROPPED], most=most)
    return {key: size for key, size in zip(keys, widths, strict=True) if size}


def _port(status: Status) -> int | None:
    _, colon, digits = (status.local[0] if status.local else "").rpartition(":")
    return int(digits) if colon and digits.isdigit() else None


def _time(since: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds") if since else ""


def _bytes(count: float) -> str:
    if not count:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 100 or unit == "B" else f"{count:.1f} {unit}"


def _rate(rate: float) -> str:
    return f"{_bytes(rate)}/s" if rate >= 1 else ""


def _left(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02}"
