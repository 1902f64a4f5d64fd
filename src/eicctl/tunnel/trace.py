"""Trace the path to an endpoint, stage by stage: the proxy or DNS and TCP, then TLS. Nothing signed is sent.

What a TLS certificate says of itself, for a person.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from eicctl.core.errors import EicctlError
from eicctl.support import tls
from eicctl.support.connect import connect_by, first_to_answer, peer_address, resolve, split_host
from eicctl.support.proxies import Proxy, proxy_for

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


TIMEOUT = 5.0
"""Seconds for each stage."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that was passed: `proxy`, `DNS`, `TCP` or `TLS`, what was seen there, and the time it took in seconds."""

    name: str
    seen: str
    seconds: float


@dataclass(slots=True)
class Trace:
    """What a walk has found.

    Attributes:
        host: The endpoint's host.
        port: Its port.
        proxy: The proxy that the environment names for it, or None.
        stages: The stages that were passed, in order.
        failed: The name of the stage that failed; empty if none did.
        error: Why it failed.
        certificate: The certificate that was presented, even if it is not trusted.
    """

    host: str
    port: int
    proxy: Proxy | None
    stages: list[Stage]
    failed: str = ""
    error: EicctlError | None = None
    certificate: Certificate | None = None

    def passed(self, name: str, step: Callable[[], T], seen: Callable[[T], str]) -> T:
        """Take a stage; what it raises is this stage's failure."""
        self.failed = name
        started = time.monotonic()
        found = step()
        self.stages.append(Stage(name, seen(found), time.monotonic() - started))
        self.failed = ""
        return found


def walk(dns_name: str, ca_bundle: str | None) -> Trace:
    """Connect to an endpoint as a tunnel would, up to the TLS handshake.

    Args:
        dns_name: The endpoint's `HOST[:PORT]`.
        ca_bundle: CA certificates to trust (PEM file or folder), or None for the system's.
    """
    trace = Trace(dns_name, 0, None, [])
    try:
        trace.host, trace.port = split_host(dns_name)
        trace.failed = "proxy"
        trace.proxy = proxy_for(trace.host, trace.port)
        with _connected(trace) as sock:
            _secure(trace, sock, ca_bundle)
    except EicctlError as error:
        trace.error = error
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            trace.certificate = _untrusted(trace)
    return trace


def _connected(trace: Trace) -> socket.socket:
    host, port, proxy = trace.host, trace.port, trace.proxy
    if proxy:
        return trace.passed("proxy", lambda: connect_by(proxy, host, port, TIMEOUT), lambda _: str(proxy))
    addresses = trace.passed(
        "DNS", lambda: resolve(host, port), lambda found: ", ".join(str(address[0]) for _, address in found)
    )
    return trace.passed("TCP", lambda: first_to_answer(addresses, host, port, TIMEOUT), peer_address)


def _secure(trace: Trace, sock: socket.socket, ca_bundle: str | None) -> None:
    sock.settimeout(TIMEOUT)
    trace.failed = "TLS"
    trust = tls.Trust(tls.context(ca_bundle))
    stream = trace.passed("TLS", lambda: trust.secured(sock, trace.host, trace.port), lambda found: found.version)
    trace.certificate = read_certificate(stream.certificate)


def _untrusted(trace: Trace) -> Certificate | None:
    """Fetch the certificate that is not trusted, to show it. The connection is good for nothing else, and closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _connected(Trace(trace.host, trace.port, trace.proxy, [])) as sock:
            sock.settimeout(TIMEOUT)
            return read_certificate(tls.Trust(context).secured(sock, trace.host, trace.port).certificate)
    except EicctlError:
        return None
