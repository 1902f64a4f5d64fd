"""Text that others wrote, in a form that steers no terminal and breaks no line. Pure; no I/O.

Names and tags, close reasons, error messages and log records come from others, and may hold terminal escapes, line
ends, characters that turn the reading direction, or halves of surrogate pairs, which no encoding can write. All of
them are shown as Python writes them (`\\x1b`, `\\u202e`). docs/explanation/hostile-input.md lists where this is used.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

LONGEST = 8_000
"""Characters of a message that are shown; a message that somebody has blown up must not scroll the rest away."""

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""General categories of Unicode that do something instead of being seen; `Cc` has the C1 controls too."""

_HARMFUL_IN_JSON = re.compile(r"[^ -~\n]")


def printable(text: str, keep: str = "\n\t") -> str:
    """Return `text` with whatever would do something written as an escape, except the characters in `keep`."""
    return text if text.isprintable() else "".join(char if char in keep else _visible(char) for char in text)


def line(text: str) -> str:
    """Return text as a single line: line ends and tabs are shown too, so a cell stays a cell."""
    return printable(text, keep="")


def message(text: str) -> str:
    """Return a message for people: no longer than `LONGEST`, and its further lines are indented.

    So what others wrote can begin no line of its own that looks like one of eicctl's: `hint: …`.
    """
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text) - LONGEST:,} more characters)"
    body = printable(text)
    inner = body.strip("\n")
    start = body.index(inner) if inner else len(body)
    indented = re.sub(r"\n(?=[^ \n])", "\n  ", inner)
    return body[:start] + indented + body[start + len(inner) :]


def json_text(
    value: object,
    *,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    default: Callable[[object], object] | None = None,
) -> str:
    """Return JSON that holds the exact text and is harmless on a terminal: what `line` shows is `\\uXXXX` there."""
    text = json.dumps(value, indent=indent, separators=separators, default=default, ensure_ascii=False)
    if text.isprintable():
        return text
    # Outside of its strings JSON is ASCII, and inside json has escaped what is below U+0020 already.
    return _HARMFUL_IN_JSON.sub(lambda match: _json_escape(match[0]), text)


def _visible(char: str) -> str:
    return ascii(char)[1:-1] if unicodedata.category(char) in _HIDDEN else char


def _json_escape(char: str) -> str:
    return json.dumps(char)[1:-1].replace("\x7f", "\\u007f") if unicodedata.category(char) in _HIDDEN else char
