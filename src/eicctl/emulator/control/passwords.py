"""GetPasswordData's answer: the password of a Windows instance, encrypted with the public key of its key pair."""

from __future__ import annotations

import base64
import hashlib
from typing import Any


def password_of(instance_id: str) -> str:
    """Return the password of an instance's administrator: always the same one of an instance."""
    return "Eic-" + hashlib.sha256(f"password of {instance_id}".encode()).hexdigest()[:24]


def data(ec2: Any, instance: Any) -> str:
    """Return the encrypted password in base64; empty for an instance without Windows, or without an RSA key pair."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    pair = ec2.key_pairs.get(instance.key_name)
    if instance.platform != "windows" or pair is None:
        return ""
    line = pair.material_public
    key = load_ssh_public_key(line if isinstance(line, bytes) else line.encode())
    if not isinstance(key, RSAPublicKey):
        return ""
    return base64.b64encode(key.encrypt(password_of(str(instance.id)).encode(), PKCS1v15())).decode()
