"""Tables that are wider than the terminal: a row takes several lines, so that no cell is broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_GAP = "  "
_INDENT = "    "
"""What all lines of a row but its first begin with."""


def lines(table: Mapping[str, Sequence[Text]], width: int) -> Iterator[Text]:
    """Give the lines of a table: each has as many columns as fit, and the next columns follow below, indented.

    Words longer than a line stay whole; who prints them must not cut them.

    Args:
        table: The columns' cells by heading; all columns have the same length, and no cell a line break.
        width: The terminal's, in columns.
    """
    from rich.cells import cell_len
    from rich.text import Text

    headed = [[Text(heading, style="bold"), *cells] for heading, cells in table.items()]
    widths = [max(cell_len(cell.plain) for cell in cells) for cells in headed]
    bands = _bands(widths, width)
    for row in zip(*headed, strict=True):
        # Below the row's last cell that says something, nothing is to be told apart.
        last = max(
            (number for number, band in enumerate(bands) if any(row[column].plain for column in band)), default=0
        )
        for number, band in enumerate(bands[: last + 1]):
            indent = _INDENT if number else ""
            if len(band) == 1:
                yield from _wrapped(row[band[0]], indent, width)
                continue
            line = Text(indent)
            for column in band:
                line.append_text(row[column])
                line.append(" " * (widths[column] - cell_len(row[column].plain)) + _GAP)
            line.rstrip()
            yield line


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


def _wrapped(cell: Text, indent: str, width: int) -> Iterator[Text]:
    """Give the lines of a cell that has its line alone: broken between words."""
    import textwrap

    from rich.text import Text

    room = max(1, width - len(indent))
    for part in textwrap.wrap(cell.plain, room, break_long_words=False, break_on_hyphens=False) or [""]:
        yield Text(f"{indent}{part}".rstrip(), style=cell.style)
