"""Host keys as cloud-init prints them to the console at first boot (docs/explanation/protocol.md#keys)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

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
