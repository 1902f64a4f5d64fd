"""Keys in files, for OpenSSH: one that exists as long as a connection, in a folder of this user alone; or the user's.

ssh-keygen, a part of OpenSSH, creates them: the cryptography package would take as long to import as ssh-keygen to run.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eicctl.core.errors import LocalError, UsageError
from eicctl.core.model import Target
from eicctl.ssh.known_hosts import by_instance
from eicctl.ssh.process import SessionFolder, sweep
from eicctl.support import files, paths, pins


def restrict(path: Path) -> None:
    """Let nobody but this user read a file. On POSIX the mode has done so already.

    OpenSSH for Windows refuses a key that others than its owner, SYSTEM and the administrators can read. A new file
    there inherits the permissions of its folder; a mode has no effect.

    Raises:
        LocalError: icacls is missing, or fails.
    """
    if os.name != "nt":
        return
    command = icacls(path, os.environ)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LocalError(f"Cannot run icacls: {error.strerror}") from error
    if done.returncode:
        raise LocalError(f"Cannot restrict who may read {path}: {done.stdout.strip() or done.stderr.strip()}")


def icacls(path: Path, environ: os._Environ[str] | dict[str, str]) -> list[str]:
    """Return the command line that takes inherited rights from a file and gives this user all.

    Args:
        path: The file.
        environ: Has USERNAME, and USERDOMAIN where there is one.
    """
    domain, user = environ.get("USERDOMAIN", ""), environ.get("USERNAME", "")
    if not user:
        raise LocalError("Cannot determine the owner of the key: USERNAME is not set")
    account = f"{domain}\\{user}" if domain else user
    return ["icacls", str(path), "/inheritance:r", "/grant:r", f"{account}:(F)"]


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A `SessionFolder`. Those of killed processes are removed at the start."""
    base = str(paths.runtime_dir())
    sweep(base)
    with SessionFolder(base) as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class Key:
    """A key to push: the private key's file, and the public key's line."""

    file: Path
    public: str


def check_pushable(target: Target) -> None:
    """Refuse to push a key to what takes none.

    Raises:
        UsageError: The target is not a known instance, or is a Windows one.
    """
    if target.platform == "windows":
        raise windows_error(target.label)
    if not target.instance_id:
        own_key = pins.command("eicctl", "ssh", "--no-send-key", target.label)
        raise UsageError(
            f"{target.address} matches no EC2 instance, so no key can be pushed",
            hint=f"specify the instance by its ID, or use your own key: {own_key}",
        )


def windows_error(label: str, command: str = "ssh") -> UsageError:
    """Return the error for a Windows instance that a key was to be pushed to."""
    own_key = pins.command("eicctl", command, "--no-send-key", label)
    return UsageError(
        f"{label} is a Windows instance, which accepts no pushed key",
        hint=f"{pins.command('eicctl', 'rdp', label)}; or with an SSH server and your own key: {own_key}",
    )


KeyType = Literal["auto", "ed25519", "ecdsa", "rsa"]
"""`--key-type`."""


KEY_TYPES = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa": ("-t", "ecdsa", "-b", "256"),
    "rsa": ("-t", "rsa", "-b", "3072"),
}
"""The types with ssh-keygen's options for them, the best first."""


def suited(key_type: KeyType, name: str) -> KeyType:
    """Return the type of key for a host: with `auto` none that its image cannot do, as far as its host keys tell.

    An SSH server in FIPS mode, or an old one, has no ed25519 host key, and accepts no such key either.

    Args:
        key_type: What the user wants.
        name: The host's ID or address.
    """
    known = by_instance().keys(name) if key_type == "auto" else ()
    if not known or any(key.startswith("ssh-ed25519 ") for key in known):
        return key_type
    return "ecdsa" if any(key.startswith("ecdsa-") for key in known) else "rsa"


def make_key(path: Path, key_type: KeyType = "auto") -> Key:
    """Make a key in a file that only this user can read; an older one there is replaced.

    Args:
        path: The private key's file; the public one has `.pub` after its name.
        key_type: Its type; `auto` for the first that ssh-keygen can make: in FIPS mode it refuses ed25519.

    Raises:
        LocalError: ssh-keygen is not installed, or fails.
    """
    public = Path(f"{path}.pub")
    for kind in list(KEY_TYPES) if key_type == "auto" else [key_type]:
        path.unlink(missing_ok=True)
        public.unlink(missing_ok=True)
        done = _ssh_keygen("-q", *KEY_TYPES[kind], "-N", "", "-C", "eicctl", "-f", str(path))
        if not done.returncode or not path.parent.is_dir():  # its command has ended
            break
    if done.returncode:
        raise LocalError(f"ssh-keygen failed: {done.stderr.strip() or done.returncode}")
    restrict(path)
    return Key(path, public.read_text().strip())


def own_key(path: Path) -> Key:
    """Return a key of the user's own with its public half: that beside it, or what ssh-keygen reads of the private one.

    Raises:
        LocalError: It cannot be read.
    """
    path = path.expanduser().absolute()
    beside = path if path.suffix == ".pub" else Path(f"{path}.pub")
    if not beside.exists():
        done = _ssh_keygen("-y", "-f", str(path))  # which asks for a passphrase on the terminal
        text, why = done.stdout, done.stderr.strip() if done.returncode else ""
    else:
        try:
            text, why = beside.read_text(encoding="utf-8", errors="replace"), ""
        except OSError as error:
            text, why = "", str(error.strerror)
    words = text.split()
    if why or len(words) < 2:
        raise LocalError(
            f"Cannot read the public half of {path}: {why or 'not a key'}",
            hint=pins.command("ssh-keygen", "-y", "-f", path),
        )
    return Key(path.with_suffix("") if path.suffix == ".pub" else path, " ".join(words[:2]))


def _ssh_keygen(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["ssh-keygen", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise LocalError("ssh-keygen is not installed", hint="install the OpenSSH client") from error


def session_key(folder: Path, name: str, key_type: KeyType = "auto") -> Key:
    """Return the key for a login in a command's `private_folder`; the first process that asks creates it.

    Args:
        folder: The folder.
        name: The key's file: `USER@HOST`.
        key_type: The type of a new key.

    Raises:
        LocalError: It cannot be created.
    """
    path = folder / name
    with files.locked(folder / "keys"):
        public = Path(f"{path}.pub")
        return Key(path, public.read_text().strip()) if public.exists() else make_key(path, key_type)
