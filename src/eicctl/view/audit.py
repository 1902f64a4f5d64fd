"""The rows of `eicctl audit` on stdout. All forms but the table, and what --query needs, are written as rows come."""

from __future__ import annotations

import csv
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import click

from eicctl.audit.correlation import COLUMNS, Row
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
}
_DROPPABLE = ("Endpoint", "Duration", "MFA", "Address", "From", "OS user", "Port", "Outcome")
_FORMULA = re.compile(r"""(^|[\s,;|"])(?=[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])""")
"""Where a spreadsheet would begin to compute: at the start of a cell, or of what becomes one where the list separator
is another than the comma. The last eight are full-width and small forms of the first four."""


def show_rows(rows: Iterator[Row], *, output: str, query: str | None) -> int:
    """Write rows to stdout; return how many there are.

    Args:
        rows: The rows.
        output: `table`, `json`, `text` or `csv`.
        query: JMESPath expression on the JSON form, or None.
    """
    if query:
        found = [row.shown() for row in rows]
        render.show(found, output=output, query=query, columns={})
        return len(found)
    if output in ("table", "json"):
        return _table(rows) if output == "table" else _json(rows)
    show = printer(output)
    count = 0
    for row in rows:
        show(row)
        count += 1
    return count


def printer(output: str) -> Callable[[Row], None]:
    """Return what writes one row at a time: JSON as one object a line; CSV begins with its heading."""
    if output == "json":
        return lambda row: _write(sanitize.json_text(row.shown()))
    if output == "text":
        return lambda row: _write("\t".join(map(sanitize.line, _cells(row))))
    if output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)

        def show(row: Row) -> None:
            writer.writerow([_harmless(cell) for cell in _cells(row)])
            sys.stdout.flush()

        return show
    return lambda row: _write(sanitize.line(_line(row)))


def _write(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


def _table(rows: Iterable[Row]) -> int:
    kept: deque[Row] = deque(maxlen=TABLE_ROWS)
    count = 0
    for row in rows:
        kept.append(row)
        count += 1
    if kept:
        render.show(
            [_for_people(row) for row in kept], output="table", query=None, columns=_TABLE, droppable=_DROPPABLE
        )
    if count > len(kept):
        messages.line(f"Showing the latest {len(kept):,} of {count:,} rows; use --output csv, json or text for all")
    return count


def _json(rows: Iterable[Row]) -> int:
    """An array of objects, as `render` writes it."""
    count = 0
    for count, row in enumerate(rows, 1):
        text = sanitize.json_text(row.shown(), indent=2).replace("\n", "\n  ")
        click.echo(f"{',' if count > 1 else '['}\n  {text}", nl=False)
    click.echo("\n]" if count else "[]")
    return count


def _cells(row: Row) -> list[str]:
    return [_cell(value) for value in row.shown().values()]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _harmless(cell: str) -> str:
    """Return a cell on one line that no spreadsheet computes; an apostrophe marks text there."""
    return _FORMULA.sub(r"\1'", sanitize.line(cell))


def _for_people(row: Row) -> Mapping[str, Any]:
    event = row.event
    return {
        "Time": event.time,
        "Event": "tunnel" if event.name == TUNNEL else event.name,
        "Outcome": event.outcome if not event.error_code else f"{event.outcome}: {event.error_code}",
        "Principal": event.principal.label,
        "MFA": {True: "yes", False: "no", None: "?"}[event.principal.mfa],
        "From": event.source_ip,
        "Target": row.instance_name or row.instance_id,
        "Address": event.address,
        "Port": event.port,
        "User": row.os_user,
        "Duration": "" if event.duration is None else f"{event.duration} s",
        "Endpoint": row.endpoint_name or event.endpoint_id,
    }


def _line(row: Row) -> str:
    """A row as a line for people, when the rows to come are not known."""
    shown = _for_people(row)
    time = row.event.time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    user = f"{shown['User']}@" if shown["User"] else ""
    to = shown["Target"] or shown["Address"] or shown["Endpoint"]
    port = f":{shown['Port']}" if shown["Port"] else ""
    return (
        f"{time}  {shown['Event']}  {shown['Outcome']}  {shown['Principal']}  from {shown['From']}  to {user}{to}{port}"
    )
