"""Text and tables in a terminal's width: prose is broken between words, and a wide row takes several lines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

_GAP = "  "
_INDENT = "    "
"""What all lines of a row but its first begin with."""

_EMPTY = "-"
"""What a line of a row shows that has no value, where another line follows."""


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Break a line between words. A word that is longer than the line stays whole.

    Args:
        text: One line.
        width: The terminal's, in columns.
        indent: What the lines after the first begin with, after the blanks that the first one begins with.
    """
    indent = text[: len(text) - len(text.lstrip(" "))] + indent
    lines: list[str] = []
    line, used = "", 0
    for blanks, word in re.findall(r"( *)([^ ]+)", text):
        size = _columns(word)
        if used + len(blanks) + size > width and line.strip():
            lines.append(line)
            line, used = indent, len(indent)
        else:
            line, used = line + blanks, used + len(blanks)
        line, used = line + word, used + size
    return [*lines, line]


def rows(table: Sequence[tuple[str, Sequence[Text]]], width: int | None) -> Iterator[Text]:
    """Give the lines of a table: each has as many columns as fit, and the next columns follow below, indented.

    Words longer than a line stay whole; who prints them must not cut them.

    Args:
        table: The columns' headings and cells; all columns have the same length, and no cell a line break.
        width: The terminal's, in columns; None for lines as long as they must be.
    """
    from rich.cells import cell_len
    from rich.text import Text

    headed = [[Text(heading, style="bold"), *cells] for heading, cells in table]
    widths = [max(cell_len(cell.plain) for cell in cells) for cells in headed]
    bands = [list(range(len(widths)))] if width is None else _bands(widths, width)
    for row in zip(*headed, strict=True):
        # Below the row's last cell that says something, nothing is to be told apart.
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
                line.append(" " * (widths[column] - cell_len(row[column].plain)) + _GAP)
            line.rstrip()
            yield line


def pairs(table: Sequence[tuple[str, str]], width: int | None) -> Iterator[Text]:
    """Give the lines of a table of keys and values.

    A value that does not fit beside its key is broken between words; where one of its words does not fit there, the
    value has the lines below its key.

    Args:
        table: The keys and the values, without line breaks.
        width: The terminal's, in columns; None for lines as long as they must be.
    """
    from rich.text import Text

    left = max(_columns(key) for key, _ in table) + len(_GAP) if table else 0
    for key, value in table:
        head = Text.assemble((key, "bold"), " " * (left - _columns(key)))
        longest = max(map(_columns, value.split(" ")))
        if width is None or left + _columns(value) <= width:
            beside, below = value, []
        elif left + longest <= width:
            beside, *below = (line.lstrip(" ") for line in wrap(" " * left + value, width))
            below = [" " * left + line for line in below]
        else:
            # What fits the terminal is not broken by an indent.
            indent = _INDENT if len(_INDENT) + longest <= width else ""
            beside, below = "", wrap(indent + value, width)
        head.append(beside)
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


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
