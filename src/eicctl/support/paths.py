"""Where eicctl keeps its files.

`EICCTL_HOME` puts all of them under one folder; otherwise they are where the platform keeps such files
(platformdirs: the XDG base directories on Linux).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

from eicctl.core.errors import LocalError
from eicctl.support import files

_ELSEWHERE = "export EICCTL_HOME=FOLDER"


def state_dir() -> Path:
    """The folder for what must outlive a process (known hosts, the emulator's state). Made 0700."""
    return private(_folder("state"))


def cache_dir() -> Path:
    """The folder for what can be found again (targets). Made 0700."""
    return private(_folder("cache"))


def runtime_dir() -> Path:
    """The folder for what lives no longer than a process (keys, sockets). Made 0700."""
    return private(_folder("runtime"))


def config_file() -> Path:
    """The user's own settings; the file need not exist."""
    return _folder("config") / "config.toml"


def _folder(kind: str) -> Path:
    """Return the folder for files of a kind, which need not be there. A user who has no home has it below /tmp.

    Raises:
        LocalError: There is none that nobody else could write to.
    """
    if home := os.environ.get("EICCTL_HOME"):
        return files.expanded(home) / {"runtime": "run"}.get(kind, kind)
    import warnings

    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it is below /tmp, which `private` makes safe; users need no warning of that.
        warnings.simplefilter("ignore")
        try:
            found: Path = getattr(platformdirs, f"user_{kind}_path")("eicctl")
        except RuntimeError:
            found = Path("~")
        except OSError as error:
            raise LocalError(f"no folder for {kind} files: {error}", hint=_ELSEWHERE) from error
    if found.is_absolute():
        return found
    if kind == "config":
        return Path(os.devnull)  # below which nothing is, that somebody else could have put there
    import tempfile

    return private(Path(tempfile.gettempdir()) / f"eicctl-{os.getuid()}") / kind


def private(folder: Path) -> Path:
    """Make a folder of this user alone (0700), or check that it is one.

    Raises:
        LocalError: It cannot be made, somebody else could write there, or could put another folder in its place.
    """
    try:
        files.make_private(folder)
        status, above = folder.lstat(), folder.parent.stat()
    except OSError as error:
        raise LocalError(f"cannot create the folder {folder}: {error.strerror}", hint=_ELSEWHERE) from error
    # The runtime folder may be below /tmp, where another user could have made it, or the one above it, first.
    if os.name == "posix" and not (_of_this_user(status) and _keeps(above)):
        raise LocalError(f"{folder} is not a folder of this user alone", hint=_ELSEWHERE)
    return folder


def _of_this_user(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & 0o022 and stat.S_ISDIR(status.st_mode)


def _keeps(status: os.stat_result) -> bool:
    """Whether nobody else can put another folder in the place of one below. A group's right to write is that of a group
    of this user alone, as some systems have it for homes."""
    sticky = status.st_mode & stat.S_ISVTX
    return status.st_uid in (os.getuid(), 0) and (bool(sticky) or not status.st_mode & 0o002)
