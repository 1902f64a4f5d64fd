"""Texts in the columns of a terminal: how many they take, and how they are wrapped and cut."""

from __future__ import annotations

import re
import unicodedata


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


def cut(text: str, width: int, *, pad: bool = False) -> str:
    """Return a text in so many columns of the terminal at the most, or exactly."""
    if width_of(text) > width:
        kept = text[:width]
        while kept and width_of(kept) > width - 1:
            kept = kept[:-1]
        text = f"{kept}…"
    return text + " " * (width - width_of(text)) if pad else text
