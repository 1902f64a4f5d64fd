"""Recent logins, on disk: the arguments of OpenSSH, so that the next login needs neither AWS nor much Python.

One JSON file in the cache folder, of this user alone; it holds names, addresses and settings, no secret.
"""

from __future__ import annotations

import os
import sys
import time

from eicctl.aws.completion_cache import identity
from eicctl.aws.config_files import config_file, credentials_file
from eicctl.support import jsonstore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIFETIME = 300.0
"""Seconds for which a login is remembered."""

_MOST = 100


def key(profile: str | None, region: str | None, words: str) -> str:
    """Return what a login is remembered by: who asks, by which files, and for what."""
    try:
        from _blake2 import blake2b  # hashlib loads OpenSSL, which takes some milliseconds
    except ImportError:  # a Python that was built without it
        from hashlib import blake2b

    config = f"{_folder('config', 'XDG_CONFIG_HOME', '~/.config')}/config.toml"
    seen = [_seen(path) for path in (config_file(), credentials_file(), config, _own_files()[1])]
    text = repr([identity(profile, region), sorted(_variables()), seen, words])
    return blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()


def recall(key: str) -> dict[str, Any] | None:
    """Return a login, if the host's keys that it counts on are still known."""
    found = jsonstore.read(_path()).get(key)
    if not isinstance(found, dict) or not 0 <= time.time() - found.get("At", 0.0) < LIFETIME:
        return None
    known_hosts, _ = _own_files()
    try:
        with open(known_hosts, "rb") as file:  # noqa: PTH123
            pinned = f"\n{found['Host']} ".encode() in b"\n" + file.read()
    except (OSError, KeyError):
        return None
    return found if pinned else None


def note(key: str, login: dict[str, Any]) -> None:
    """Remember a login whose host's keys are known. A cache that cannot be written is none."""
    if login["Settings"].get("StrictHostKeyChecking") == "yes":
        _change(key, {**login, "At": time.time()})


def forget(key: str) -> None:
    """Forget a login."""
    _change(key, None)


def _variables() -> list[tuple[str, str]]:
    starts = ("AWS_", "EICCTL_")
    secrets = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
    return [item for item in os.environ.items() if item[0].startswith(starts) and item[0] not in secrets]


def _seen(path: str) -> object:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _folder(kind: str, variable: str, usual: str) -> str:
    home, base = os.environ.get("EICCTL_HOME"), os.environ.get(variable, "").strip()
    if home and not home.startswith("~"):
        return f"{home}/{kind}"
    if not home and sys.platform == "linux":
        return f"{base or os.path.expanduser(usual)}/eicctl"  # noqa: PTH111
    from eicctl.support import paths

    folders = {"state": paths.state_dir, "cache": paths.cache_dir}
    return str(folders[kind]() if kind in folders else paths.config_file().parent)


def _own_files() -> tuple[str, str]:
    """Return the file of host keys; and that of OS users, which an image's or a setting's change makes another."""
    state = _folder("state", "XDG_STATE_HOME", "~/.local/state")
    return f"{state}/known_hosts", f"{state}/os_users.json"


def _path() -> str:
    return f"{_folder('cache', 'XDG_CACHE_HOME', '~/.cache')}/logins.json"


def _change(key: str, row: dict[str, Any] | None) -> None:
    import contextlib
    from pathlib import Path

    from eicctl.core.errors import LocalError
    from eicctl.support import paths

    def changed(rows: dict[str, Any]) -> dict[str, Any]:
        rows.pop(key, None)
        return jsonstore.newest(rows | ({key: row} if row else {}), _MOST)

    with contextlib.suppress(LocalError, OSError):
        paths.cache_dir()
        jsonstore.update(Path(_path()), changed)
