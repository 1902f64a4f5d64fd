"""An instance's console output, with what cloud-init prints of its host keys."""

from __future__ import annotations

import base64
import hashlib

from eicctl.emulator.state import Machine


def output(machine: Machine | None) -> str:
    """Return the text; of a machine that is no Linux machine, without keys (docs/explanation/protocol.md#keys)."""
    lines = ["[    0.000000] Linux version 6.1.0 (emulated)", "cloud-init[900]: Cloud-init running 'modules:final'"]
    if machine is None or not machine.host_public_key:
        return "\r\n".join([*lines, ""])
    blob = base64.b64decode(machine.host_public_key.split()[1])
    fingerprint = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    name = f"root@ip-{machine.address.replace('.', '-')}"
    lines += [
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----",
        f"256 SHA256:{fingerprint} {name} (ED25519)",
        "-----END SSH HOST KEY FINGERPRINTS-----",
        "-----BEGIN SSH HOST KEY KEYS-----",
        f"{machine.host_public_key} {name}",
        "-----END SSH HOST KEY KEYS-----",
        f"{name.removeprefix('root@')} login: ",
    ]
    return "\r\n".join(lines)
