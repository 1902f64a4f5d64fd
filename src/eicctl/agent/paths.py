"""Where a background process has its socket and its files: in a folder of this user alone.

Where a background process listens, found with as few imports as can be: who asks waits for a first byte.

`place.Place` has the whole rule; this knows its usual cases.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from eicctl.support import files, settings
from eicctl.support.documents import parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 100
"""Most bytes in the path of a Unix socket: 107 on Linux, 103 on macOS."""

PREFIX = "agent-"

_OFF = frozenset({"off", "no", "0", "false"})
_ON = frozenset({"on", "yes", "1", "true"})

_FOLDER = 0o40700
"""The mode of a folder of its user alone."""


def switched(environ: Mapping[str, str]) -> bool | None:
    """Return what `EICCTL_AGENT` says: whether to use and start background processes; None where it says nothing."""
    said = environ.get("EICCTL_AGENT", "").lower()
    return False if said in _OFF else said in _ON or None


def usual_path(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the path of the socket of the process `name`, or None where `Place` must find it."""
    folder = usual_folder(environ)
    path = f"{folder}/{PREFIX}{name}.sock"
    return path if folder and len(os.fsencode(path)) <= LONGEST else None


def usual_folder(environ: Mapping[str, str]) -> str | None:
    """Return eicctl's runtime folder, as `settings.runtime_dir` has it, or None where that must find it."""
    if home := environ.get("EICCTL_HOME"):
        return None if home.startswith("~") or home.endswith("/") else f"{home}/run"
    if sys.platform != "linux":
        return None
    base = environ.get("XDG_RUNTIME_DIR", "").strip() or f"/run/user/{os.getuid()}"
    try:
        status = os.lstat(base)
    except OSError:
        return None
    good = status.st_mode == _FOLDER and status.st_uid == os.getuid() and base.startswith("/")
    return f"{base.rstrip('/')}/eicctl" if good else None


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one background process.

    Attributes:
        name: The fingerprint of its environment.
    """

    name: str

    @property
    def socket(self) -> Path:
        """Where it listens."""
        path = _folder() / f"{PREFIX}{self.name}.sock"
        if len(os.fsencode(path)) <= LONGEST:
            return path
        short = blake2b(os.fsencode(path.parent), digest_size=6).hexdigest()
        return settings.private(Path(tempfile.gettempdir()) / f"eicctl-{short}") / path.name

    @property
    def lock(self) -> Path:
        """Locked by the process as long as it lives."""
        return _folder() / f"{PREFIX}{self.name}.lock"

    @property
    def record(self) -> Path:
        """What it holds, for the case that it is killed."""
        return _folder() / f"{PREFIX}{self.name}.json"

    @property
    def log(self) -> Path:
        """What it has to say of itself."""
        return settings.state_dir() / "agent.log"

    def write_record(self, definitions: list[dict[str, Any]], pid: int) -> None:
        """Write what the process `pid` holds, or held."""
        files.write_whole(self.record, json.dumps({"Pid": pid, "Tunnels": definitions}))

    def read_record(self) -> dict[str, Any] | None:
        """Return what a process has written, or None."""
        try:
            found = parse_json(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and isinstance(found.get("Tunnels"), list) else None

    def forget(self) -> None:
        """Remove what tells of the process."""
        for path in (self.record, self.socket):
            with contextlib.suppress(OSError):
                path.unlink()


def places() -> list[Place]:
    """Return the places in which a background process is, or was."""
    names = {path.stem.removeprefix(PREFIX) for path in _folder().glob(f"{PREFIX}*.lock")}
    return [Place(name) for name in sorted(names)]


def _folder() -> Path:
    return settings.runtime_dir()
