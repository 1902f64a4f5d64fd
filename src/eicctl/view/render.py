"""Results on stdout: a table for people, JSON, or tab-separated text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from eicctl.core import sanitize as foreign
from eicctl.core.columns import cut, fit, width_of, wrap
from eicctl.core.errors import UsageError
from eicctl.view import messages

if TYPE_CHECKING:
    from rich.text import Text

Row = Mapping[str, object]

_GAP = "  "
_INDENT = "    "
"""Prefix of all lines of a row but the first."""

_NAME = "Name"
_NAME_COLUMNS = 12
"""Columns that a long name has at least on a terminal, where it is cut at a third of the width, or what IDs leave."""

_EMPTY = "-"
"""Stands for an empty line of a row that has further lines."""


WIDE = "eicctl.wide"
NO_HEADER = "eicctl.no_header"
"""Keys of Click's `Context.meta` for `--wide` and `--no-header`."""

_STYLES = {
    **dict.fromkeys(("available", "create-complete", "update-complete", "running"), "green"),
    **dict.fromkeys(("pending", "shutting-down", "stopped", "stopping"), "yellow"),
    **dict.fromkeys(("error", "denied"), "red"),
    "terminated": "dim",
}
"""Colors of states."""


def show(
    result: Row | Sequence[Row],
    *,
    output: str,
    query: str | None = None,
    columns: Mapping[str, str] | None = None,
    droppable: Sequence[str] = (),
) -> None:
    """Write a result to stdout.

    Args:
        result: One object or a list of them, with AWS's names as keys.
        output: `table`, `json` or `text`.
        query: JMESPath expression on the JSON form, or None.
        columns: Headings of the table and their keys; None for all keys. Of a single object all keys with values are
            shown.
        droppable: Headings of columns that a narrow terminal does without, the least important first.
    """
    shown: object = result
    if query:
        shown = _queried(result, query)
    if output == "json":
        click.echo(foreign.json_text(shown, indent=2, default=_plain))
    elif output == "text":
        for line in _text(shown):
            click.echo(line)
    elif query:
        _table(shown, {}, ())
    else:
        _table(shown, columns or {}, droppable)


def _queried(result: object, query: str) -> object:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        # Through JSON, so that the query sees the values of the JSON output.
        return jmespath.search(query, json.loads(json.dumps(result, default=_plain)))
    except JMESPathError as error:
        why = str(error).splitlines()[0].removeprefix("Invalid jmespath expression: ").rstrip(".: ")
        raise UsageError(f"--query is not a JMESPath expression: {why}") from error


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if value.keys() == {"Key", "Value"}:
            return f"{value['Key']}={value['Value']}"
        return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return str(value)


def _text(value: object) -> list[str]:
    """Lines as in the AWS CLI's text output: one row per line, values separated by tabs."""
    if isinstance(value, Mapping):
        return ["\t".join(_one_line(item) for item in value.values())]
    if isinstance(value, (list, tuple)):
        if not any(isinstance(item, (list, tuple, Mapping)) for item in value):
            return ["\t".join(_one_line(item) for item in value)] if value else []
        return [line for item in value for line in _text(item)]
    return [_one_line(value)]


def _one_line(value: object) -> str:
    return foreign.line(_cell(value))


def texts_of(value: Mapping[str, object]) -> dict[str, str]:
    """Return the keys and values of an object as a person reads them, without those that are empty."""
    return {foreign.line(str(key)): text for key, item in value.items() if (text := _one_line(item))}


def _table(value: object, columns: Mapping[str, str], droppable: Sequence[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    meta = context.meta if (context := click.get_current_context(silent=True)) else {}
    # In a pipe, one line per row. On a terminal, lines fit its width, and no ID is cut or broken.
    width = console.width if console.is_terminal and not meta.get(WIDE) else None
    dropped: list[str] = []
    long = False
    if isinstance(value, Mapping):
        lines = pairs(list(texts_of(value).items()), width)
    elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        names = columns or {key: key for key in value[0]}
        texts = {name: [_one_line(row.get(key)) for row in value] for name, key in names.items()}
        if width and droppable and _NAME in texts:
            # One long name would break all rows.
            fixed = [column for name, column in texts.items() if name not in (_NAME, *droppable)]
            room = width - sum(len(_GAP) + max(map(width_of, column), default=0) for column in fixed)
            whole, most = texts[_NAME], min(width // 3, room) if room >= _NAME_COLUMNS else width // 3
            texts[_NAME] = [cut(text, most) for text in whole]
            long = texts[_NAME] != whole
        cells = [(foreign.line(name), [_styled(text) for text in column]) for name, column in texts.items()]
        dropped = _dropped(cells, width, droppable) if width else []
        cells = [column for column in cells if column[0] not in dropped]
        lines = rows(cells, width, header=not meta.get(NO_HEADER))
    else:
        for line in _text(value):
            click.echo(line)
        return
    for part in lines:
        console.print(part, soft_wrap=True)
    if dropped or long:
        notes = [f"columns omitted: {', '.join(dropped)}"] if dropped else []
        text = "; ".join([*notes, *(["long names cut"] if long else [])])
        messages.line(f"{text[0].upper()}{text[1:]} (--wide shows all)")


def _dropped(table: Sequence[tuple[str, Sequence[Text]]], width: int, droppable: Sequence[str]) -> list[str]:
    """Return which columns to drop so that a table fits, in the order of the table."""
    headings = [heading for heading, _ in table]
    sizes = [max(map(width_of, (heading, *(cell.plain for cell in cells)))) for heading, cells in table]
    order = [headings.index(heading) for heading in droppable if heading in headings]
    return [heading for heading, kept in zip(headings, fit(sizes, width, order), strict=True) if not kept]


def rows(table: Sequence[tuple[str, Sequence[Text]]], width: int | None, *, header: bool = True) -> Iterator[Text]:
    """Yield the lines of a table. Columns that do not fit continue on the next lines, indented. Words longer than a
    line stay whole; print them without cropping.

    Args:
        table: The columns' headings and cells, of equal number and without line breaks.
        width: The terminal's, in columns; None for lines of any length.
        header: Whether the first line has the headings.
    """
    from rich.text import Text

    headed = [[*([Text(heading, style="bold")] if header else []), *cells] for heading, cells in table]
    widths = [max((width_of(cell.plain) for cell in cells), default=0) for cells in headed]
    bands = [list(range(len(widths)))] if width is None else _bands(widths, width)
    for row in zip(*headed, strict=True):
        # Lines after the row's last non-empty cell are omitted.
        last = max(
            (number for number, band in enumerate(bands) if any(row[column].plain for column in band)), default=0
        )
        for number, band in enumerate(bands[: last + 1]):
            indent = _INDENT if number else ""
            if not any(row[column].plain for column in band):
                yield Text(f"{indent}{_EMPTY}")
                continue
            if len(band) == 1 and width is not None:
                cell = row[band[0]]
                yield from (Text(line, style=cell.style) for line in wrap(f"{indent}{cell.plain}", width))
                continue
            line = Text(indent)
            for column in band:
                line.append_text(row[column])
                line.append(" " * (widths[column] - width_of(row[column].plain)) + _GAP)
            line.rstrip()
            yield line


def pairs(table: Sequence[tuple[str, str]], width: int | None) -> Iterator[Text]:
    """Yield the lines of a table of keys and values. A value that does not fit beside its key is broken between words;
    if a single word does not fit, the value goes below the key.

    Args:
        table: The keys and the values, without line breaks.
        width: The terminal's, in columns; None for lines of any length.
    """
    from rich.text import Text

    left = max(width_of(key) for key, _ in table) + len(_GAP) if table else 0
    for key, value in table:
        head = Text.assemble((key, "bold"), " " * (left - width_of(key)))
        longest = max(map(width_of, value.split(" ")))
        if width is None or left + width_of(value) <= width:
            beside, below = value, []
        elif left + longest <= width:
            beside, *below = (line.lstrip(" ") for line in wrap(" " * left + value, width))
            below = [" " * left + line for line in below]
        else:
            # No indent where it would break a word that fits the terminal.
            indent = _INDENT if len(_INDENT) + longest <= width else ""
            beside, below = "", wrap(indent + value, width)
        head.append(beside, style=_style(value))
        head.rstrip()
        yield head
        yield from map(Text, below)


def _bands(widths: Sequence[int], width: int) -> list[list[int]]:
    """Return which columns share a line, by number."""
    bands: list[list[int]] = [[]]
    left = width
    for column, needed in enumerate(widths):
        if bands[-1] and needed > left:
            bands.append([])
            left = width - len(_INDENT)
        bands[-1].append(column)
        left -= needed + len(_GAP)
    return bands


def _styled(text: str) -> Text:
    from rich.text import Text

    return Text(text, style=_style(text))


def _style(text: str) -> str:
    """The color of a state; empty for any other text."""
    return _STYLES.get(text, "red" if text.endswith("-failed") else "yellow" if text.endswith("-in-progress") else "")
