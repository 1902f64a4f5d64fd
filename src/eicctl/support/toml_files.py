"""TOML that others wrote: whatever it says, reading takes a time that grows with its size, and ends in a `ValueError`
where it makes no sense."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 2**20
"""Most bytes of a TOML file; a larger one is none that somebody has written."""

MOST_PARTS = 16
"""Most parts of a dotted TOML key. `tomllib` takes a time that grows with the square of their number."""

_STRING_OR_COMMENT = r"""
    \"""(?:[^"\\]|\\.|"(?!""))*(?:\"""|\Z)
  | '''.*?(?:'''|\Z)
  | "(?:[^"\\\n]|\\.)*(?:"|$)
  | '[^'\n]*(?:'|$)
  | \#[^\n]*
"""


def read_toml(path: Path) -> tuple[str, dict[str, object]]:
    """Return a TOML file's text and what it says.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is too large, too deep, or not TOML.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST:,} bytes")
    try:
        text = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    return text, parse_toml(text)


def parse_toml(text: str) -> dict[str, object]:
    """Return what a TOML document says.

    Raises:
        ValueError: It is too deep, or not TOML.
    """
    import re
    import tomllib

    plain = re.sub(_STRING_OR_COMMENT, "_", text, flags=re.VERBOSE | re.DOTALL | re.MULTILINE)
    if any(part.count(".") >= MOST_PARTS for part in re.split(r"[\n=\[\]{},]", plain)):
        raise ValueError(f"a key has more than {MOST_PARTS} dotted parts")
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    values: list[object] = [found]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("an integer has more than 64 bits")
    return found


_QUOTES = str.maketrans("", "", "\"'")


def line_of(text: str, table: str, key: str | None = None) -> int | None:
    """Return the number (from 1) of the line that has a key of a table, or of the table's header.

    Args:
        text: A valid TOML document.
        table: The table's dotted name (`tunnel.db`); empty for what stands before all tables.
        key: The key; None for the header.

    Returns:
        None unless the key is on a line of its own below its table's header.
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
