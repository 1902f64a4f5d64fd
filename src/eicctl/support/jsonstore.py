"""JSON files that several processes read and change: caches, and state that outlives a command.

What is not as it should be reads as empty, because all of it can be asked for again. Imports as little as can be:
completions and warm logins wait for it.
"""

from __future__ import annotations

import time

from eicctl.support.bare import json_text, parse_json
from eicctl.support.paths import usual_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any, TypeVar

    T = TypeVar("T")

LARGEST = 16 * 2**20
"""Most bytes of a file; a larger one is not eicctl's."""


def read(path: str | Path | None) -> dict[str, object]:
    """Return the object in a file; an empty one if the file does not exist or holds something else."""
    try:
        with open(path or "", "rb") as file:  # noqa: PTH123 - pathlib's import takes a completion too long
            data = file.read(LARGEST + 1)
        found = parse_json(data) if len(data) <= LARGEST else None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def update(path: Path, change: Callable[[dict[str, object]], dict[str, object]], *, lock: Path | None = None) -> None:
    """Replace a file's object by what `change` makes of it, in one step and under a lock; mode 0600.

    Args:
        path: The file.
        change: Gets the object, which it may modify, and returns the new one.
        lock: What is locked (see `files.locked`); the file itself where None.

    Raises:
        LocalError: It cannot be written.
    """
    from eicctl.support.files import locked, write_whole

    with locked(lock or path):
        write_whole(path, json_text(change(read(path))), durable=False)


def newest(rows: dict[str, T], most: int) -> dict[str, T]:
    """Return the last rows of an object, which are those written last."""
    return dict(list(rows.items())[-most:])


def digest(*parts: object) -> str:
    """Return a short name for values, by their `repr`; it does not reveal them."""
    try:
        from _blake2 import blake2b  # hashlib loads OpenSSL, which takes some milliseconds
    except ImportError:  # a Python that was built without it
        from hashlib import blake2b

    return blake2b(repr(parts).encode(errors="replace"), digest_size=16).hexdigest()


class Cache:
    """Values in a file of the cache folder, each for some time. One that cannot be read or written is empty.

    Args:
        name: The file.
        lifetime: Seconds for which a value is good.
        most: How many values are kept: the newest ones.
    """

    def __init__(self, name: str, lifetime: float, most: int) -> None:
        self._name = name
        self._lifetime = lifetime
        self._most = most

    def get(self, key: str) -> Any:
        """Return a value, or None if there is none or it is too old."""
        row: Any = read(f"{usual_folder('cache')}/{self._name}").get(key)
        return row["Value"] if row and self._is_good(row) else None

    def put(self, values: Mapping[str, object]) -> None:
        """Store values; None removes one."""
        from eicctl.core.errors import LocalError
        from eicctl.support.paths import cache_dir

        def changed(rows: dict[str, object]) -> dict[str, object]:
            kept = {key: row for key, row in rows.items() if key not in values and self._is_good(row)}
            new = {key: {"At": time.time(), "Value": value} for key, value in values.items() if value is not None}
            return newest(kept | new, self._most)

        try:
            update(cache_dir() / self._name, changed)
        except LocalError:
            return

    def _is_good(self, row: Any) -> bool:
        try:
            return 0 <= time.time() - row["At"] < self._lifetime and "Value" in row
        except (TypeError, KeyError):
            return False
