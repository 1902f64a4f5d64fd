"""A key in a file that ssh_config(5) can name, fresh for a connection or for several that overlap.

OpenSSH may read the public half of an IdentityFile as it starts, before its ProxyCommand has done anything, and the
private half when it logs in. A key that another connection to the same host exchanged in between would not fit. So a
key stays where it is while a connection uses it. The last one moves it aside, and a connection that begins within a
minute takes the same one back; OpenSSH may have seen it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from eicctl.core.errors import UsageError
from eicctl.ssh.keys import Key, KeyType, make_key
from eicctl.support import files, settings

REUSED_FOR = 60
"""Seconds after its last use for which a key is taken back. OpenSSH's start takes much less."""


@contextlib.contextmanager
def shared_key(folder: Path, name: str, key_type: KeyType = "auto") -> Iterator[Key]:
    """Have a key while a connection lasts.

    Args:
        folder: Where keys are; made 0700.
        name: The key's file: `USER@HOST`.
        key_type: The type of a new key.

    Raises:
        UsageError: The name is no file name.
        LocalError: The folder cannot be written, or others can write there, too.
    """
    if "/" in name or "\\" in name or name.startswith(".") or "\0" in name:
        raise UsageError(f"not a user and a host: {name!r}")
    settings.private(folder)
    path = folder / name
    with files.locked(folder / "keys"):
        _sweep(folder)
        key = _present(path) or _taken_back(path) or _made(path, key_type)
        users = _Users(folder / f".{name}.users")
    try:
        yield key
    finally:
        with files.locked(folder / "keys"):
            if users.leave():
                _move_aside(path)


def _public(path: Path) -> Path:
    """Where the public half is: under no name at which OpenSSH looks (`FILE.pub`)."""
    return path.with_name(f".{path.name}.public")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


def _present(path: Path) -> Key | None:
    return Key(path, _public(path).read_text()) if path.exists() and _public(path).exists() else None


def _taken_back(path: Path) -> Key | None:
    aside = _aside(path)
    with contextlib.suppress(FileNotFoundError):
        if time.time() - aside.stat().st_mtime < REUSED_FOR:
            aside.replace(path)
            return _present(path)
    return None


def _made(path: Path, key_type: KeyType) -> Key:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
        key = make_key(Path(folder) / "key", key_type)
        files.write_whole(_public(path), key.public)
        key.file.replace(path)
    return Key(path, key.public)


def _move_aside(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.replace(_aside(path))
        os.utime(_aside(path))


def _sweep(folder: Path) -> None:
    """Remove what was moved aside long ago."""
    for aside in folder.glob(".*.aside"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - aside.stat().st_mtime > REUSED_FOR:
                aside.unlink()
                _public(aside.with_name(aside.name[1 : -len(".aside")])).unlink(missing_ok=True)


class _Users:
    """The processes that use a key: each holds a shared lock, which ends with it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        self._lock("LOCK_SH")

    def leave(self) -> bool:
        """Use it no longer; return whether this was the last one. Without flock(2) nobody is ever the last."""
        try:
            return self._lock("LOCK_EX", "LOCK_NB")
        finally:
            os.close(self._descriptor)

    def _lock(self, *how: str) -> bool:
        try:
            import fcntl
        except ImportError:  # Windows
            return False
        flags = 0
        for name in how:
            flags |= getattr(fcntl, name)
        try:
            fcntl.flock(self._descriptor, flags)
        except BlockingIOError:
            return False
        return True
