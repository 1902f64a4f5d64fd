"""Where eicctl keeps its files.

`EICCTL_HOME` puts all of them under one folder; otherwise they are where the platform keeps such files
(platformdirs: the XDG base directories on Linux). Completions and warm logins import this module, which loads the rest
where it is needed.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_ELSEWHERE = "export EICCTL_HOME=FOLDER"


def state_dir() -> Path:
    """The folder for what must outlive a process (known hosts, the emulator's state). Created 0700."""
    return private(_folder("state"))


def cache_dir() -> Path:
    """The folder for what can be asked for again (targets). Created 0700."""
    return private(_folder("cache"))


def runtime_dir() -> Path:
    """The folder for what lives no longer than a process (keys, sockets). Created 0700."""
    return private(_folder("runtime"))


def config_file() -> Path:
    """The user's own settings; the file need not exist."""
    return _folder("config") / "config.toml"


_XDG = {"config": "~/.config", "cache": "~/.cache", "state": "~/.local/state"}


def usual_folder(kind: str) -> str:
    """Return the folder of a kind (`config`, `cache`, `state`), without platformdirs where the rule is simple.

    The folder is neither created nor checked. Without a home it is `os.devnull`, which contains nothing.
    """
    home = os.environ.get("EICCTL_HOME")
    if home and not home.startswith("~"):
        return f"{home}/{kind}"
    base = os.environ.get(f"XDG_{kind.upper()}_HOME", "").strip()
    if not base.startswith("/"):  # a relative path is invalid (XDG Base Directory Specification)
        base = os.path.expanduser(_XDG[kind])  # noqa: PTH111
    if not home and sys.platform == "linux" and base.startswith("/"):
        return f"{base}/eicctl"
    from eicctl.core.errors import LocalError

    try:
        return str(_folder(kind))
    except LocalError:
        return os.devnull


def _folder(kind: str) -> Path:
    """Return the folder for files of a kind, which need not be there. A user who has no home has it below /tmp.

    Raises:
        LocalError: There is none that nobody else could write to.
    """
    from pathlib import Path

    if home := os.environ.get("EICCTL_HOME"):
        from eicctl.support import files

        return files.expanded(home) / {"runtime": "run"}.get(kind, kind)
    import warnings

    import platformdirs

    from eicctl.core.errors import LocalError

    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it is below /tmp, which `private` makes safe; users need no warning of that.
        warnings.simplefilter("ignore")
        try:
            found: Path = getattr(platformdirs, f"user_{kind}_path")("eicctl")
        except RuntimeError:
            found = Path("~")
        except OSError as error:
            raise LocalError(f"No folder for {kind} files: {error}", hint=_ELSEWHERE) from error
    if found.is_absolute():
        return found
    if kind == "config":
        return Path(os.devnull)  # below which nothing is, that somebody else could have put there
    import tempfile

    return private(Path(tempfile.gettempdir()) / f"eicctl-{os.getuid()}") / kind


def private(folder: Path) -> Path:
    """Create a folder of this user alone (0700), or check that it is one.

    Raises:
        LocalError: It cannot be created, somebody else could write there, or could put another folder in its place.
    """
    from eicctl.core.errors import LocalError
    from eicctl.support import files

    try:
        files.make_private(folder)
        status, above = folder.lstat(), folder.parent.stat()
    except OSError as error:
        raise LocalError(f"Cannot create the folder {folder}: {error.strerror}", hint=_ELSEWHERE) from error
    # The runtime folder may be below /tmp, where another user could have made it, or the one above it, first.
    if os.name == "posix" and not (_of_this_user(status) and _keeps(above)):
        raise LocalError(f"{folder} is not private to this user", hint=_ELSEWHERE)
    return folder


def _of_this_user(status: os.stat_result) -> bool:
    import stat

    return status.st_uid == os.getuid() and not status.st_mode & 0o022 and stat.S_ISDIR(status.st_mode)


def _keeps(status: os.stat_result) -> bool:
    """Whether nobody else can put another folder in the place of one below. A group's right to write is that of a group
    of this user alone, as some systems have it for homes."""
    import stat

    sticky = status.st_mode & stat.S_ISVTX
    return status.st_uid in (os.getuid(), 0) and (bool(sticky) or not status.st_mode & 0o002)
