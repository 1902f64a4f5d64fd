"""The rows of `eicctl audit` on stdout. All forms but the table, and what --query needs, are written as rows come."""

from __future__ import annotations

import csv
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from eicctl.audit.correlation import COLUMNS, Row, Value
from eicctl.audit.records import TUNNEL
from eicctl.core import sanitize
from eicctl.view import messages, render

TABLE_ROWS = 1_000
"""Rows that a table has; it must know all of its rows before it is written."""

_TABLE = {
    "Time": "Time",
    "Event": "Event",
    "Outcome": "Outcome",
    "Principal": "Principal",
    "MFA": "MFA",
    "From": "From",
    "Target": "Target",
    "Address": "Address",
    "Port": "Port",
    "OS user": "User",
    "Duration": "Duration",
    "Endpoint": "Endpoint",
    "Error": "Error",
}
_DROPPABLE = ("Endpoint", "Duration", "MFA", "Address", "From", "OS user", "Port", "Error")
_SEPARATOR, _SIGN = r"""[\s,;|"]""", r"[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]"
_FORMULA = re.compile(f"(^|{_SEPARATOR})(?={_SIGN})")
"""Where a spreadsheet would begin to compute: at the start of a cell, or of what becomes one where the list separator
is another than the comma. The last eight signs are full-width and small forms of the first four."""

_ANY_FORMULA = re.compile(_SEPARATOR + _SIGN)


def show_rows(rows: Iterator[Row], *, output: str, query: str | None, accounts: str = "") -> int:
    """Write rows to stdout; return how many there are.

    Args:
        rows: The rows.
        output: `table`, `json`, `text` or `csv`.
        query: JMESPath expression on the JSON form, or None.
        accounts: The heading of the table's column of accounts; none if empty.
    """
    if query:
        found = [row.shown() for row in rows]
        render.show(found, output=output, query=query)
        return len(found)
    if output in ("table", "json"):
        return _table(rows, accounts=accounts) if output == "table" else _json(rows)
    show = _printer(output)
    count = 0
    for row in rows:
        show(row)
        count += 1
    return count


def printer(output: str) -> Callable[[Row], None]:
    """Return what writes one row at a time, at once: JSON as one object a line; CSV begins with its heading."""
    show = _printer(output)

    def show_now(row: Row) -> None:
        show(row)
        sys.stdout.flush()

    return show_now


def _printer(output: str) -> Callable[[Row], object]:
    write = sys.stdout.write
    if output == "json":
        return lambda row: write(f"{sanitize.json_text(row.shown())}\n")
    if output == "text":
        return lambda row: write("\t".join(_cells(row)) + "\n")
    if output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        return lambda row: writer.writerow(_harmless(_cells(row)))
    return lambda row: write(f"{sanitize.line(_line(row))}\n")


def _table(rows: Iterable[Row], *, accounts: str) -> int:
    kept: deque[Row] = deque(maxlen=TABLE_ROWS)
    count = 0
    for row in rows:
        kept.append(row)
        count += 1
    if kept:
        render.show(
            [_for_people(row) for row in kept],
            output="table",
            columns=({accounts: "Account"} if accounts else {}) | _TABLE,
            droppable=_DROPPABLE,
        )
    if count > len(kept):
        messages.line(f"Showing the latest {len(kept):,} of {count:,} rows; use --output csv, json or text for all")
    return count


def _json(rows: Iterable[Row]) -> int:
    """An array of objects, as `render` writes it; with an indent, json would take three times as long."""
    count = 0
    for count, row in enumerate(rows, 1):
        text = sanitize.json_text(row.shown(), separators=(",\n    ", ": "))
        sys.stdout.write(f"{',' if count > 1 else '['}\n  {{\n    {text[1:-1]}\n  }}")
    sys.stdout.write("\n]\n" if count else "[]\n")
    return count


def _cells(row: Row) -> list[str]:
    """The values of a row, each on one line."""
    cells = [value if isinstance(value, str) else _cell(value) for value in row.values()]
    return cells if "".join(cells).isprintable() else [*map(sanitize.line, cells)]


def _cell(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _harmless(cells: list[str]) -> list[str]:
    """Return cells that no spreadsheet computes; an apostrophe marks text there."""
    # One fast search for all of them: a space before a cell stands for its start.
    if not _ANY_FORMULA.search(f" {' '.join(cells)}"):
        return cells
    return [_FORMULA.sub(r"\1'", cell) for cell in cells]


def _for_people(row: Row) -> Mapping[str, object]:
    event = row.event
    return {
        "Time": event.time,
        "Event": "tunnel" if event.name == TUNNEL else event.name,
        "Outcome": event.outcome,
        "Principal": event.principal.label,
        "MFA": {True: "yes", False: "no", None: "?"}[event.principal.mfa],
        "From": event.source_ip,
        "Target": row.instance_name or row.instance_id,
        "Address": event.address,
        "Port": event.port,
        "User": row.os_user,
        "Duration": "" if event.duration is None else f"{event.duration} s",
        "Endpoint": row.endpoint_name or event.endpoint_id,
        "Error": event.error_code,
        "Account": row.account_name or row.profile or event.account_id,
    }


def _line(row: Row) -> str:
    """A row as a line for people, when the rows to come are not known."""
    shown = _for_people(row)
    time = row.event.time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    user = f"{shown['User']}@" if shown["User"] else ""
    to = shown["Target"] or shown["Address"] or shown["Endpoint"]
    port = f":{shown['Port']}" if shown["Port"] else ""
    outcome = ": ".join(filter(None, (row.event.outcome, row.event.error_code)))
    return f"{time}  {shown['Event']}  {outcome}  {shown['Principal']}  from {shown['From']}  to {user}{to}{port}"
