"""TLS to the endpoint: always verified."""

from __future__ import annotations

import math
import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from eicctl.core.errors import LocalError, NetworkError
from eicctl.tunnel.tls_stream import SecureSocket

_MOST = 20

KEPT_FOR = 600.0
"""Seconds for which a session is resumed by every connection, before a newer one is kept."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What the connections of a process share: reading the system's CAs takes longer than a handshake.

    Attributes:
        context: Whom to trust.
        sessions: A session with each host and port, to be resumed, and when it was kept (`time.monotonic()`).
    """

    context: ssl.SSLContext
    sessions: dict[tuple[str, int], tuple[ssl.SSLSession, float]] = field(default_factory=dict)

    def secured(self, sock: socket.socket, host: str, port: int) -> SecureSocket:
        """Return the TLS connection with a host over a socket, which is closed if that fails.

        Raises:
            NetworkError: See `secured`.
        """
        try:
            return secured(self.context, sock, host, port, self.sessions.get((host, port), (None,))[0])
        except BaseException:
            sock.close()
            raise

    def keep_session(self, stream: SecureSocket, host: str, port: int) -> None:
        """Keep what spares the next connection the certificate; the server has sent it by its first answer.

        Not of each connection: reading a session leaks some 5 KB in CPython 3.11 to 3.13.
        """
        now = time.monotonic()
        _, kept = self.sessions.get((host, port), (None, -math.inf))
        if now - kept > KEPT_FOR and (session := stream.session):
            self.sessions[host, port] = session, now


_known: dict[tuple[object, ...], Trust] = {}
_lock = threading.Lock()


def trust(ca_bundle: str | None) -> Trust:
    """Return what is trusted, as `context` says; the same object as before unless the file has changed meanwhile."""
    key: tuple[object, ...] = (ca_bundle, *(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")))
    if ca_bundle is not None:
        try:
            status = Path(ca_bundle).stat()
            key += (status.st_mtime_ns, status.st_size, status.st_ino)
        except (OSError, ValueError):
            return Trust(context(ca_bundle))  # which says what is wrong
    with _lock:
        if key not in _known:
            while len(_known) >= _MOST:
                _known.pop(next(iter(_known)))
            _known[key] = Trust(context(ca_bundle))
        return _known[key]


def context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return a client context that trusts the system's CAs, or those in the file (PEM) or folder `ca_bundle`.

    Raises:
        LocalError: The bundle cannot be read, or holds no certificate.
    """
    if ca_bundle is None:
        return ssl.create_default_context()
    try:
        if Path(ca_bundle).is_dir():
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        why = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise LocalError(
            f"cannot read the CA bundle {ca_bundle}: {why}",
            hint="it comes from --ca-bundle, AWS_CA_BUNDLE, or ca_bundle of the profile",
        ) from error


def secured(
    context: ssl.SSLContext, sock: socket.socket, host: str, port: int, session: ssl.SSLSession | None = None
) -> SecureSocket:
    """Return the TLS connection with a host over a socket, which stays the caller's to close if that fails.

    `session` is one of an earlier connection to resume, or None.

    Raises:
        NetworkError: TLS failed; its cause is an `ssl.SSLCertVerificationError` where the certificate is not trusted.
    """
    try:
        stream = SecureSocket(sock, context, host, session)
        stream.handshake()
    except ssl.SSLCertVerificationError as error:
        raise NetworkError(
            f"the certificate of {host}:{port} is not trusted: {error.verify_message}",
            hint="if a proxy decrypts TLS, specify its CA: --ca-bundle FILE, or AWS_CA_BUNDLE",
        ) from error
    except TimeoutError as error:
        raise NetworkError(f"{host}:{port} does not answer the TLS handshake", transient=True) from error
    except (OSError, ValueError) as error:
        raise NetworkError(f"TLS with {host}:{port} failed: {error}", transient=isinstance(error, OSError)) from error
    return stream
