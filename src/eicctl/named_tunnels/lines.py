"""Where a key stands in a TOML file: `tomllib` tells what a file says, but not in which line."""

from __future__ import annotations

_QUOTES = str.maketrans("", "", "\"'")


def line_of(text: str, table: str, key: str | None = None) -> int | None:
    """Return the number (from 1) of the line that has a key of a table, or of the table's header.

    Args:
        text: A valid TOML document.
        table: The table's dotted name (`tunnel.db`); empty for what stands before all tables.
        key: The key; None for the header.

    Returns:
        None where it is written in another way than one key a line below its table's header.
    """
    inside = not table
    header: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        name, bracket, rest = line.strip().removeprefix("[").partition("]")
        if line.lstrip().startswith("[") and bracket and rest.strip()[:1] in ("", "#") and "[" not in name:
            inside = _plain(name) == table
            if inside:
                header = number
        elif inside and key and _plain(line.partition("=")[0]) == key:
            return number
    return header


def _plain(name: str) -> str:
    """A key without the quotes and spaces that TOML allows around its parts."""
    return ".".join(part.strip().translate(_QUOTES) for part in name.split("."))
