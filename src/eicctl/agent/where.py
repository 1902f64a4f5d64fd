"""Where a background process listens, found with as few imports as can be: who asks waits for a first byte.

`place.Place` has the whole rule; this knows its usual cases.
"""

from __future__ import annotations

import os
import sys

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
