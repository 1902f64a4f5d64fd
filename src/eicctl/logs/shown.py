"""Foreign text made harmless for a terminal and for a file of lines."""

from __future__ import annotations

import unicodedata


def printable(text: str, keep: str = "\n\t") -> str:
    """Return `text` with control and bidirectional-override characters written as escapes, except those in `keep`.

    Names, tags and close reasons come from others and may try to steer a terminal, or to forge a line of a log.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in keep or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else ascii(char)[1:-1]
        for char in text
    )
