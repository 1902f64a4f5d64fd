"""JSON files that several processes read and change: caches, and what is remembered from one command to the next.

What is not as it should be reads as empty, because all of it can be found out again. Imports as little as can be:
completions and warm logins wait for it.
"""

from __future__ import annotations

from eicctl.support.documents import parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

LARGEST = 16 * 2**20
"""Most bytes of a file; a larger one is none of eicctl's."""


def read(path: str | Path | None) -> dict[str, Any]:
    """Return the object in a file; an empty one where there is no file, or something else in it."""
    try:
        with open(path or "", "rb") as file:  # noqa: PTH123 - pathlib's import takes a completion too long
            data = file.read(LARGEST + 1)
        found = parse_json(data) if len(data) <= LARGEST else None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def update(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], *, lock: Path | None = None) -> None:
    """Replace a file's object by what `change` makes of it, in one step and under a lock; mode 0600.

    Args:
        path: The file.
        change: Gets the object, which it may modify, and returns the new one.
        lock: What is locked (see `files.locked`); the file itself where None.

    Raises:
        LocalError: It cannot be written.
    """
    import json

    from eicctl.support.files import locked, write_whole

    with locked(lock or path):
        write_whole(path, json.dumps(change(read(path))))


def newest(rows: dict[str, Any], most: int) -> dict[str, Any]:
    """Return the last rows of an object, which are those written last."""
    return dict(list(rows.items())[-most:])
