"""What a TLS certificate says of itself, for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Name


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate.

    `names` are the DNS names and addresses that it is for; `fingerprint` is SHA-256 in hexadecimal digits.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_after: datetime
    fingerprint: str


def read_certificate(der: bytes) -> Certificate:
    """Return what a certificate (DER) says."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    found = x509.load_der_x509_certificate(der)
    names: tuple[str, ...] = ()
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(name.value) for name in alternatives)
    except x509.ExtensionNotFound:
        pass
    return Certificate(
        subject=_name(found.subject) or ", ".join(names),
        issuer=_name(found.issuer),
        names=names,
        not_after=found.not_valid_after_utc,
        fingerprint=found.fingerprint(SHA256()).hex(),
    )


def _name(name: Name) -> str:
    """Return a distinguished name's common name, else its organisation, else all of it."""
    from cryptography.x509.oid import NameOID

    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := name.get_attributes_for_oid(kind):
            return str(found[0].value)
    return name.rfc4514_string()
