"""The user's settings for all commands: `config.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eicctl.core.errors import UsageError
from eicctl.support import paths
from eicctl.support.documents import read_toml


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
    path = paths.config_file()
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
