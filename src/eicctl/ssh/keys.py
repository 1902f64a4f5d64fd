"""A key for one connection: it exists as long as the connection, in a folder of this user alone.

ssh-keygen makes it, which whoever runs OpenSSH has; the cryptography package would be one more dependency, and takes as
long to import as ssh-keygen to run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eicctl import pins, settings
from eicctl.errors import LocalError, UsageError
from eicctl.model import Target
from eicctl.ssh import acl

_PREFIX = "ssh-"


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder (0700) for the files of one connection, removed at the end, also at that by SIGTERM or SIGHUP.

    What processes that were killed have left is removed at the start.
    """
    base = settings.runtime_dir()
    _sweep(base)
    folder = base / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    with _exit_by_signal():
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _exit_by_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the process by an exception, so that what must be removed is."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            if number := getattr(signal, name, None):
                before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Key:
    """An ephemeral key: the private key's file, and the public key's line."""

    file: Path
    public: str


def check_pushable(target: Target) -> None:
    """Refuse to push a key to what takes none.

    Raises:
        UsageError: The target is no known instance, or a Windows one.
    """
    own_key = pins.command("eicctl", "ssh", "--no-send-key", target.label)
    if target.platform == "windows":
        raise UsageError(
            f"{target.label} is a Windows instance, which accepts no pushed key",
            hint=f"{pins.command('eicctl', 'rdp', target.label)}; where it has an SSH server: {own_key}",
        )
    if not target.instance_id:
        raise UsageError(
            f"{target.address} matches no EC2 instance, so no key can be pushed to it",
            hint=f"specify the instance by its ID; or use a key of your own: {own_key}",
        )


def make_key(path: Path) -> Key:
    """Make an ed25519 key in a file that only this user can read.

    Raises:
        LocalError: There is no ssh-keygen, or it fails.
    """
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "eicctl", "-f", str(path)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LocalError("there is no ssh-keygen", hint="install OpenSSH's client") from error
    if done.returncode:
        raise LocalError(f"ssh-keygen failed: {done.stderr.strip() or done.returncode}")
    acl.restrict(path)
    return Key(path, Path(f"{path}.pub").read_text().strip())


def session_key(folder: Path) -> Key:
    """Return the key in a command's `private_folder`, which is made here where the command has left that to others.

    Raises:
        LocalError: It cannot be made.
    """
    path = folder / "key"
    try:
        return Key(path, path.with_suffix(".pub").read_text().strip())
    except FileNotFoundError:
        return make_key(path)


def _sweep(base: Path) -> None:
    """Remove the folders of processes that are no more."""
    for folder in base.glob(f"{_PREFIX}*-*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # no cheap way to know; the runtime folder is emptied by the system
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
