"""A key for one connection: it exists as long as the connection, in a folder of this user alone.

ssh-keygen makes it, which whoever runs OpenSSH has; the cryptography package would be one more dependency, and takes as
long to import as ssh-keygen to run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from eicctl import settings
from eicctl.errors import LocalError

_PREFIX = "ssh-"


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder (0700) for the files of one connection, removed at the end.

    What processes that were killed have left is removed at the start.
    """
    base = settings.runtime_dir()
    _sweep(base)
    folder = base / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_key(folder: Path) -> tuple[Path, str]:
    """Make an ed25519 key; return the private key's file (0600) and the public key's line.

    Raises:
        LocalError: There is no ssh-keygen, or it fails.
    """
    path = folder / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "eicctl", "-f", str(path)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LocalError("there is no ssh-keygen", hint="install OpenSSH's client") from error
    if done.returncode:
        raise LocalError(f"ssh-keygen failed: {done.stderr.strip() or done.returncode}")
    return path, path.with_suffix(".pub").read_text().strip()


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
