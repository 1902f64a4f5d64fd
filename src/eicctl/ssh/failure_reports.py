"""Reports of failed connections, in a file: from `eicctl proxy` to the eicctl command that runs OpenSSH."""

from __future__ import annotations

import json
import os

from eicctl.core.errors import from_json, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from eicctl.core.errors import EicctlError

_FILE = "failures"


class Failure:
    """One failed connection.

    Attributes:
        host: The host as OpenSSH was given it.
        error: Why it failed.
        lived: How long its tunnel was open, in seconds; 0 if it never was.
    """

    def __init__(self, host: str, error: EicctlError, lived: float) -> None:
        self.host = host
        self.error = error
        self.lived = lived


def add(folder: str, failure: Failure) -> None:
    """Report a failure.

    Args:
        folder: The session's folder.
        failure: The failure.

    Raises:
        OSError: The folder is gone with the command.
    """
    line = json.dumps({"Host": failure.host, "Lived": failure.lived, **to_json(failure.error)}) + "\n"
    descriptor = os.open(os.path.join(folder, _FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)  # noqa: PTH118
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def take(folder: Path, host: str | None = None) -> list[Failure]:
    """Return the reports for a host, or for all; without a host, they are removed."""
    try:
        lines = (folder / _FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    if host is None:
        (folder / _FILE).unlink(missing_ok=True)
    found = [json.loads(line) for line in lines]
    return [
        Failure(row["Host"], from_json(row), float(row["Lived"]))
        for row in found
        if host is None or row["Host"] == host
    ]
