"""Which host keys a login accepts: those in the instance's console output, those seen before, or the first one seen.

cloud-init prints host keys to the console at first boot (docs/explanation/protocol.md#keys).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from eicctl.aws.instances import console_output
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, UsageError
from eicctl.ssh.known_hosts import by_instance

_BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
_END = "-----END SSH HOST KEY KEYS-----"
_KEY = re.compile(r"\b((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w@.-]+) (AAAA[A-Za-z0-9+/]+={0,2})")


def host_keys(console: str) -> tuple[str, ...]:
    """Return the keys of the last complete block, each as `TYPE BASE64`.

    Text around a key on its line (the kernel's time stamps, a comment) is omitted, and so is a key that is not of the
    type that it says: programs on the instance write to the console, too.
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which keys of a host are accepted.

    Attributes:
        strict: The value of StrictHostKeyChecking (ssh_config(5)).
        note: What the user should know, or an empty string.
        detail: How they are checked, for an explanation.
    """

    strict: str
    note: str = ""
    detail: str = ""


def verdict(session: Session, check: Check, name: str) -> Verdict:
    """Return which keys of a host are accepted. The console of an unknown instance is read, and its keys are pinned.

    Args:
        session: Access to AWS.
        check: How to check.
        name: Instance ID, or the address of a host that is not an instance.

    Raises:
        UsageError: The check is `strict`, and no key is known.
    """
    if check == "off":
        return Verdict("no", f"Host keys of {name} are not checked: another host answering in its place goes unnoticed")
    if by_instance().keys(name):
        return Verdict("yes", detail="known")
    if check == "strict":
        raise UsageError(
            f"No host key of {name} is known (--host-key-check strict)",
            hint="--host-key-check console reads it from the instance's console output",
        )
    if check == "accept-new" or not name.startswith("i-"):
        return Verdict("accept-new", detail="the first ones seen are accepted")
    # The first key seen is the fallback: an instance just booted has nothing on its console for some minutes, a
    # long-lived one has overwritten it, and the permission to read it may be missing.
    try:
        keys = read_console(session, name)
    except EicctlError as error:
        reason = error.message
    else:
        if keys:
            by_instance().pin(name, keys)
            return Verdict("yes", detail="verified via EC2 console output")
        reason = "no host keys in its console output"
    return Verdict("accept-new", f"Host keys of {name} could not be verified ({reason}); accepting the first one seen")


def read_console(session: Session, instance_id: str) -> tuple[str, ...]:
    """Return the host keys in an instance's console output.

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
