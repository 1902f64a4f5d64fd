"""Which host keys a login accepts: those that AWS vouches for, those seen before, or the first that is seen.

Host keys as cloud-init prints them to the console at first boot (docs/explanation/protocol.md#keys).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Literal, get_args

from eicctl.aws.instances import console_output
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, UsageError
from eicctl.ssh.known_hosts import by_instance
from eicctl.support import settings

_BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
_END = "-----END SSH HOST KEY KEYS-----"
_KEY = re.compile(r"\b((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w@.-]+) (AAAA[A-Za-z0-9+/]+={0,2})")


def host_keys(console: str) -> tuple[str, ...]:
    """Return the keys of the last complete block, each as `TYPE BASE64`; nothing where there is none.

    What is before and after a key on its line (the kernel's time stamps, a comment) is left out, and so is whatever is
    no key of the type that it says: the console also carries what programs on the instance write.
    """
    before, end, _ = console.rpartition(_END)
    _, begin, block = before.rpartition(_BEGIN)
    if not (begin and end):
        return ()
    found = (f"{match[1]} {match[2]}" for line in block.splitlines() if (match := _KEY.search(line)))
    return tuple(dict.fromkeys(key for key in found if _well_formed(key)))


def fingerprint(key: str) -> str:
    """Return the fingerprint of `TYPE BASE64` as OpenSSH shows it: `SHA256:…`."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _well_formed(key: str) -> bool:
    """Whether the blob is base64 and begins with the type's name (RFC 4253, 6.6)."""
    kind, _, text = key.partition(" ")
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length] == kind.encode() and len(blob) > 4 + length


Check = Literal["console", "accept-new", "strict", "off"]
"""How to check: by the console's keys and else the first seen; the first seen; only keys known already; not at all."""

CHECKS: tuple[Check, ...] = get_args(Check)


def configured_check() -> Check:
    """Return how the user has set host keys to be checked in config.toml; `console` where nothing is set.

    Raises:
        UsageError: It is set to something else.
    """
    configured = settings.config().host_key_check
    if not configured:
        return "console"
    for check in CHECKS:
        if check == configured:
            return check
    raise UsageError(
        f"{settings.config_file()}: host_key_check is {configured!r}", hint=f"it is one of {', '.join(CHECKS)}"
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What OpenSSH is told of a host's keys.

    Attributes:
        strict: The value of StrictHostKeyChecking (ssh_config(5)).
        note: What the user should know, or an empty string.
    """

    strict: str
    note: str = ""


def pinned_already(check: Check, name: str) -> Verdict | None:
    """Return the verdict if it takes no call of AWS, else None.

    Args:
        check: How to check.
        name: Instance ID, or the address of a host that is no instance.

    Raises:
        UsageError: The check is `strict`, and no key is known.
    """
    if check == "off":
        return Verdict("no", f"the host key of {name} is not checked: whoever answers in its place will not be noticed")
    if by_instance().keys(name):
        return Verdict("yes")
    if check == "strict":
        raise UsageError(
            f"no host key of {name} is known, and the check is strict",
            hint="--host-key-check console takes it from the instance's console output",
        )
    if check == "accept-new" or not name.startswith("i-"):
        return Verdict("accept-new")
    return None


def pin_from_console(session: Session, instance_id: str) -> Verdict:
    """Take an instance's keys from its console, pin them, and return the verdict; the first key seen is the fallback.

    That is said: an instance just booted has nothing on its console for some minutes, a long-lived one has written
    over it, and the right to read it may be missing.
    """
    try:
        keys = read_console(session, instance_id)
    except EicctlError as error:
        why = error.message
    else:
        if keys:
            by_instance().pin(instance_id, keys)
            return Verdict("yes", f"host keys of {instance_id} pinned from its console output")
        why = "its console output has none"
    return Verdict("accept-new", f"host keys of {instance_id} are not known ({why}); the first one seen is accepted")


def read_console(session: Session, instance_id: str) -> tuple[str, ...]:
    """Return the host keys on an instance's console; nothing where it has none.

    Raises:
        EicctlError: The console cannot be read.
    """
    keys = host_keys(console_output(session, instance_id))
    if keys:
        return keys
    try:
        return host_keys(console_output(session, instance_id, latest=True))
    except EicctlError:  # not every instance type has it
        return ()
