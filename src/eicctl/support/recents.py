"""Recent connections: for `eicctl recent`, the target `-`, and the first rows of the picker.

One file in the state folder, mode 0600, without secrets: a line of JSON when a connection begins, another one when it
ends. Each is appended by one write(2), so that several processes do not disturb each other and a login waits for
nothing; when the file has grown, a command that ends replaces it by the newest connections, in one step.

Imports as little as can be: a warm login waits for it.
"""

from __future__ import annotations

import os
import time

from eicctl.support.bare import json_text, parse_json
from eicctl.support.paths import usual_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

MOST = 100
"""Connections that are kept when the file is rewritten."""

LARGEST = 2**16
"""Bytes from which on it is rewritten."""

DATABASE = "db"
"""The command whose targets are databases; those of all others are instances and addresses."""


class Recent:
    """A connection.

    Attributes:
        started: When it began, in seconds since the epoch.
        command: eicctl's command.
        target: The target's name, else what was specified.
        instance_id: The instance, or an empty string.
        profile: The profile that was in force, or None.
        region: The region.
        user: The OS user or database user, or an empty string.
        seconds: How long it was open; None if it is open, or its process was killed.
    """

    def __init__(self, row: dict[str, Any]) -> None:
        self.started = float(row["StartedAt"])
        self.command = str(row["Command"])
        self.target = str(row["Target"])
        self.instance_id = str(row["InstanceId"])
        self.profile = None if row["Profile"] is None else str(row["Profile"])
        self.region = str(row["Region"])
        self.user = str(row["User"])
        self.seconds = float(row["Seconds"]) if "Seconds" in row else None

    @property
    def word(self) -> str:
        """The target, as a command takes it."""
        return self.instance_id or self.target


class Connection:
    """A connection that begins now, and is noted; where that cannot be written, it is not.

    Args:
        command: eicctl's command.
        target: See `Recent`, as for the others.
        instance_id: Likewise.
        profile: Likewise.
        region: Likewise.
        user: Likewise.

    Attributes:
        failed: Whether it was none after all.
    """

    def __init__(
        self, command: str, target: str, *, instance_id: str, profile: str | None, region: str, user: str
    ) -> None:
        self.failed = False
        self._started = time.time()
        self._id = os.urandom(4).hex()
        row = {"Id": self._id, "StartedAt": round(self._started, 3), "Command": command, "Target": target}
        _append({**row, "InstanceId": instance_id, "Profile": profile, "Region": region, "User": user})

    def end(self) -> None:
        """Note that it has ended."""
        result = {"Failed": True} if self.failed else {"Seconds": round(time.time() - self._started, 3)}
        if _append({"Id": self._id, **result}) > LARGEST:
            _rewrite()


def recent() -> list[Recent]:
    """Return the connections, the last one first."""
    return [Recent(row) for row in reversed(_rows(_text()))]


def last(command: str) -> Recent | None:
    """Return the last connection to a target that a command takes."""
    kind = command == DATABASE
    return next((each for each in recent() if (each.command == DATABASE) == kind), None)


def clear() -> None:
    """Forget all connections.

    Raises:
        LocalError: The file cannot be removed.
    """
    from eicctl.core.errors import LocalError

    try:
        _file().unlink(missing_ok=True)
    except OSError as error:
        raise LocalError(f"Cannot remove {_file()}: {error.strerror}") from error


def _name() -> str:
    return f"{usual_folder('state')}/recent.jsonl"


def _file() -> Path:
    from eicctl.support.paths import state_dir

    return state_dir() / "recent.jsonl"


def _append(row: dict[str, object]) -> int:
    """Append a line; return the file's size, or 0 if that is not possible."""
    from eicctl.core.errors import LocalError

    line = json_text(row).encode() + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        try:
            descriptor = os.open(_name(), flags, 0o600)
        except FileNotFoundError:  # no state folder yet
            descriptor = os.open(_file(), flags, 0o600)
        try:
            os.write(descriptor, line)
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    except (OSError, LocalError):
        return 0


def _text() -> str:
    from eicctl.core.errors import LocalError

    try:
        with open(_name(), "rb") as file:  # noqa: PTH123 - without pathlib
            return file.read(4 * LARGEST).decode(errors="replace")
    except (OSError, LocalError):
        return ""


def _rows(text: str) -> list[dict[str, object]]:
    """The connections that a file's lines describe; other lines are skipped."""
    rows: dict[str, dict[str, object]] = {}
    for line in text.splitlines():
        try:
            row = parse_json(line)
            key = str(row["Id"])
            if row.get("Failed"):
                rows.pop(key, None)
            elif "Seconds" in row and key in rows:
                rows[key]["Seconds"] = float(row["Seconds"])
            else:
                Recent(row)
                rows[key] = row
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return list(rows.values())


def _rewrite() -> None:
    """Keep the newest connections. One that begins at this moment may be lost."""
    import contextlib

    from eicctl.core.errors import LocalError
    from eicctl.support.files import locked, write_whole

    with contextlib.suppress(LocalError):
        path = _file()
        with locked(path):
            write_whole(path, "".join(json_text(row) + "\n" for row in _rows(_text())[-MOST:]))
