"""Who may read a private key's file on Windows.

OpenSSH for Windows refuses a key that others than its owner, SYSTEM and the administrators can read. A new file there
inherits the rights of its folder; modes, as on POSIX, have no effect.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from eicctl.core.errors import LocalError


def restrict(path: Path) -> None:
    """Let nobody but this user read a file. On POSIX the mode has done so already.

    Raises:
        LocalError: icacls is missing, or fails.
    """
    if os.name != "nt":
        return
    command = icacls(path, os.environ)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LocalError(f"cannot run icacls: {error.strerror}") from error
    if done.returncode:
        raise LocalError(f"cannot restrict who may read {path}: {done.stdout.strip() or done.stderr.strip()}")


def icacls(path: Path, environ: os._Environ[str] | dict[str, str]) -> list[str]:
    """Return the command line that takes inherited rights from a file and gives this user all.

    Args:
        path: The file.
        environ: Has USERNAME, and USERDOMAIN where there is one.
    """
    domain, user = environ.get("USERDOMAIN", ""), environ.get("USERNAME", "")
    if not user:
        raise LocalError("cannot tell whose the key is: USERNAME is not set")
    account = f"{domain}\\{user}" if domain else user
    return ["icacls", str(path), "/inheritance:r", "/grant:r", f"{account}:(F)"]
