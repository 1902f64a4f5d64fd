"""The account that runs the emulator, and OS users that this computer does not have.

The latter are nss_wrapper's work (package `libnss-wrapper`): a library that is loaded before libc's and answers
getpwnam() and the like from a file. Every OS user is given the uid of the account that runs the emulator, and a folder
of the emulator's as home.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_NAME = "libnss_wrapper.so"
_NO_SHELLS = ("", "false", "nologin")


def own() -> str:
    """The name of the account that runs the emulator; a number if it has none, as in some containers."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())


def shell() -> str:
    """The account's login shell, or sh if it is not meant to log in."""
    with contextlib.suppress(KeyError):
        found = pwd.getpwuid(os.getuid()).pw_shell
        if Path(found).name not in _NO_SHELLS:
            return found
    return "/bin/sh"


def find_wrapper() -> Path | None:
    """Return nss_wrapper's library, or None where it is not installed."""
    for place in map(Path, _PLACES):
        # Debian has it in a folder of the machine's architecture, such as x86_64-linux-gnu.
        for found in (place / _NAME, *place.glob(f"*-linux-gnu*/{_NAME}")):
            if found.exists():
                return found
    return None


def passwd_lines(users: Iterable[str], home: Path) -> list[str]:
    """Return lines of passwd(5): the users, and this computer's accounts, which sshd needs too."""
    made_up = [f"{user}:x:{os.getuid()}:{os.getgid()}::{home}:{shell()}" for user in users]
    # A uid is called by the first line that has it, so the account itself comes after its other names.
    return [*made_up, *(_line(entry) for entry in pwd.getpwall() if entry.pw_name not in set(users))]


def _line(entry: pwd.struct_passwd) -> str:
    return f"{entry.pw_name}:x:{entry.pw_uid}:{entry.pw_gid}::{entry.pw_dir}:{entry.pw_shell}"
