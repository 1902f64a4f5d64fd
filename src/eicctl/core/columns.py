"""Texts and tables in the columns of a terminal: how many they take, how texts are wrapped and cut, and what fits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """Break a line between words. A word that is longer than the line stays whole.

    Args:
        text: One line.
        width: The terminal's, in columns.
        indent: Prefix of the lines after the first, after the blanks that the first one begins with.
    """
    indent = text[: len(text) - len(text.lstrip(" "))] + indent
    lines: list[str] = []
    line, used = "", 0
    for blanks, word in re.findall(r"( *)([^ ]+)", text):
        size = width_of(word)
        if used + len(blanks) + size > width and line.strip():
            lines.append(line)
            line, used = indent, len(indent)
        else:
            line, used = line + blanks, used + len(blanks)
        line, used = line + word, used + size
    return [*lines, line]


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes (as rich's `cell_len`, which takes longer to import)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, width: int, *, pad: bool = False, end: str = "…") -> str:
    """Return a text in so many columns of the terminal at the most, or exactly.

    Args:
        text: One line.
        width: The columns.
        pad: Whether a shorter text is filled with blanks.
        end: Stands at the end of a text that was cut.
    """
    if width_of(text) > width:
        kept = text[:width]
        while kept and width_of(kept + end) > width:
            kept = kept[:-1]
        text = kept + end
    return text + " " * (width - width_of(text)) if pad else text


def fit(
    sizes: Sequence[int],
    width: int,
    droppable: Sequence[int],
    *,
    most: Mapping[int, int] | None = None,
    least: Mapping[int, int] | None = None,
    gap: int = 2,
) -> list[int]:
    """Return the widths of a table's columns; 0 for those that are dropped. Columns are given by their index.

    Args:
        sizes: How wide each column's longest text is; 0 for a column without any, which is dropped.
        width: That of the table.
        droppable: The columns that may be dropped, the least important first.
        most: How wide columns are that may be cut where others need room.
        least: To what width a column is cut rather than dropped, if that makes the table fit.
        gap: Blanks between two columns.
    """
    most, least = most or {}, least or {}
    widths = [min(size, most.get(at, size)) for at, size in enumerate(sizes)]
    surplus = sum(size + gap for size in widths if size) - gap - width
    for at in droppable:
        if surplus > 0 and widths[at]:
            cut_is_enough = 0 < least.get(at, 0) <= widths[at] - surplus
            left = widths[at] - surplus if cut_is_enough else 0
            surplus -= widths[at] - left if cut_is_enough else widths[at] + gap
            widths[at] = left
    for at in most:
        if surplus < 0 and widths[at]:
            more = min(sizes[at] - widths[at], -surplus)
            widths[at], surplus = widths[at] + more, surplus + more
    return widths
