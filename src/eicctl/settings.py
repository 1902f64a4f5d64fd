"""Where eicctl keeps its files.

`EICCTL_HOME` puts all of them under one folder; otherwise they are where the platform keeps such files
(platformdirs: the XDG base directories on Linux).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

from eicctl.errors import LocalError


def state_dir() -> Path:
    """The folder for what must outlive a process (known hosts, the emulator's state). Made 0700."""
    return _private(_home("state") or platformdirs.user_state_path("eicctl"))


def runtime_dir() -> Path:
    """The folder for what lives no longer than a process (keys, sockets). Made 0700."""
    return _private(_home("run") or platformdirs.user_runtime_path("eicctl"))


def _home(kind: str) -> Path | None:
    home = os.environ.get("EICCTL_HOME")
    return Path(home).expanduser() / kind if home else None


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise LocalError(
            f"cannot make the folder {folder}: {error.strerror}", hint="EICCTL_HOME puts eicctl's files elsewhere"
        ) from error
    # The runtime folder may be below /tmp, where another user could have made it first.
    if os.name == "posix" and (
        status.st_uid != os.getuid() or status.st_mode & 0o022 or not stat.S_ISDIR(status.st_mode)
    ):
        raise LocalError(
            f"{folder} is not a folder of this user alone", hint="EICCTL_HOME puts eicctl's files elsewhere"
        )
    return folder
