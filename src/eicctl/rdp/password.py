"""The administrator's password, which EC2 encrypts with the RSA key of the instance's key pair (PKCS #1 v1.5)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from eicctl.core.errors import LocalError, UsageError
from eicctl.support.redact import register

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Ask = Callable[[str], str]
"""Returns the passphrase of the key file of this name."""

_SHORTEST = 6
"""Characters that Windows demands of a password (Password must meet complexity requirements)."""


def decrypt(data: str, key_file: Path, ask: Ask) -> str:
    """Return the password.

    Args:
        data: GetPasswordData's `PasswordData`: base64.
        key_file: The private key: PEM (PKCS #1 or PKCS #8) or OpenSSH's form.
        ask: Asks for the passphrase, if the key has one.

    Raises:
        LocalError: The key cannot be read.
        UsageError: It is not an RSA key, or not that of the instance.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    key = _read_key(key_file, ask)
    wrong = UsageError(
        f"{key_file} does not decrypt the password", hint="it must be the key pair that the instance was launched with"
    )
    try:
        plain = key.decrypt(base64.b64decode(data), PKCS1v15()).decode()
    except (ValueError, binascii.Error):
        raise wrong from None
    # OpenSSL gives random bytes for a wrong key, so that nobody can learn from the error. A few may look like text.
    if len(plain) < _SHORTEST or not plain.isprintable():
        raise wrong
    register(plain)
    return plain


def _read_key(path: Path, ask: Ask) -> RSAPrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    try:
        content = path.read_bytes()
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from error
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in content else load_pem_private_key
    try:
        try:
            key = load(content, None)
        except TypeError:  # it has a passphrase
            key = load(content, ask(str(path)).encode())
    except (TypeError, ValueError, UnsupportedAlgorithm):  # TypeError: an empty passphrase
        raise LocalError(f"cannot read the private key {path}", hint="wrong passphrase, or not a PEM file?") from None
    if not isinstance(key, RSAPrivateKey):
        raise UsageError(f"{path} is not an RSA key", hint="EC2 encrypts passwords for RSA key pairs only")
    return key
