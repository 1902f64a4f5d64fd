"""Where eicctl keeps its files.

`EICCTL_HOME` puts all of them under one folder; otherwise they are where the platform keeps such files
(platformdirs: the XDG base directories on Linux).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from eicctl.core.errors import LocalError, UsageError
from eicctl.support import files
from eicctl.support.documents import read_toml

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


@dataclass(frozen=True, slots=True)
class Config:
    """What the user has set for all commands (`config.toml`).

    Attributes:
        os_user: The OS user of every instance that `os_users` does not name; empty for the image's.
        os_users: OS users by a pattern of the instance's name or ID (`web-*`); the first that fits counts.
        host_key_check: How host keys are checked; empty for the usual way.
        diagnose: Whether to look for the likely cause of a target that cannot be reached.
        agent: Whether commands may start a background process that makes the next ones faster.
        log_file: The file to which every command logs; empty for none.
        allow_other_users: Whether other users of this machine may connect to listeners.
        spare: Whether processes that open many tunnels keep a TLS connection ready for the next one.
        keepalive: Seconds without traffic after which an open tunnel is pinged; 0 for never, None for the usual.
    """

    os_user: str = ""
    os_users: Mapping[str, str] = field(default_factory=dict)
    host_key_check: str = ""
    diagnose: bool = True
    agent: bool = True
    log_file: str = ""
    allow_other_users: bool = False
    spare: bool = True
    keepalive: float | None = None

    def user_for(self, *names: str) -> str:
        """Return the OS user for an instance of these names, or an empty string."""
        import fnmatch

        for pattern, user in self.os_users.items():
            if any(fnmatch.fnmatchcase(name, pattern) for name in names if name):
                return user
        return self.os_user


def config() -> Config:
    """Return the user's settings.

    Raises:
        UsageError: The file has something that it should not have; the message names it.
    """
    path = config_file()
    if not path.exists():
        return Config()
    try:
        _, found = read_toml(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    found.pop("tunnel", None)  # named tunnels, which `named_tunnels.config_file` reads
    for key, value in found.items():
        _check(path, key, value)
    return Config(**found)


def _check(path: Path, key: str, value: Any) -> None:
    names = ["[os_users]" if name == "os_users" else name for name in Config.__dataclass_fields__]
    hint = f"its keys are {', '.join(names)} and [tunnel.NAME]"
    if key not in Config.__dataclass_fields__:
        raise UsageError(f'{path}: unknown setting "{key}"', hint=hint)
    if key == "os_users":
        good = isinstance(value, dict) and all(isinstance(user, str) and user for user in value.values())
        wanted = 'a table of names: "web-*" = "deploy"'
    elif key in ("diagnose", "agent", "allow_other_users", "spare"):
        good, wanted = isinstance(value, bool), "true or false"
    elif key == "keepalive":
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 3600
        wanted = "seconds, 0 to 3600"
    elif key == "log_file":
        # Commands run in many folders, and the background process in none of them.
        good = isinstance(value, str) and (value.startswith("~") or Path(value).is_absolute())
        wanted = "an absolute path, or one that begins with ~"
    else:
        good = isinstance(value, str)
        wanted = "a text"
    if not good:
        raise UsageError(f"{path}: {key} must be {wanted}", hint=hint)


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
