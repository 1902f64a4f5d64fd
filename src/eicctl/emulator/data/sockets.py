"""The sockets that the emulator listens on, and the certificate of the data plane, created at each start."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme

from eicctl.emulator.data.faults import BEFORE_TLS
from eicctl.emulator.state import State
from eicctl.support.bind import bind_tcp

BACKLOG = 512

_CERTIFICATE_LIFETIME = timedelta(days=30)

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class ListeningSocket(socket.socket):
    """A listening socket that sees connections before TLS is up, and cuts them if a fault requires it.

    asyncio's servers report a connection only when TLS is up, but they take what `accept` gives them, and a connection
    that was aborted by then is ignored: ConnectionAbortedError.
    """

    def __init__(self, *arguments: Any, state: State | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._state = state
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: A fault has cut it.
        """
        connection, address = super().accept()
        fault = self._state.take_fault("", "", BEFORE_TLS) if self._state else None
        if fault is None:
            self._accepted.add(connection)
            return connection, address
        if fault.stage == "tls":
            asyncio.get_running_loop().call_later(0.05, _reset, connection)
        else:
            _reset(connection)
        raise ConnectionAbortedError

    async def hang_up(self, timeout: float) -> None:
        """Close the remaining connections, and wait until their owners have noticed.

        Args:
            timeout: Seconds to wait.
        """
        for connection in self._accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + timeout
        # A connection before TLS is internal to asyncio, which does not report its end.
        while any(sock.fileno() >= 0 for sock in self._accepted) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    connection.close()


def loopback_sockets(port: int, state: State | None = None, *, limit: int = 2) -> list[ListeningSocket]:
    """Return sockets on the same port of the loopback addresses that this machine has: 127.0.0.1, ::1, or both.

    Args:
        port: The port, or 0 for a free one.
        state: Has the faults of connections.
        limit: Maximum number of sockets.

    Raises:
        LocalError: The port is not available.
    """
    # With the number of TCP as its protocol, asyncio would not leave small packets to the kernel (TCP_NODELAY).
    found = [
        ListeningSocket(sock.family, sock.type, sock.proto, fileno=sock.detach(), state=state)
        for sock in bind_tcp(port)
    ]
    for sock in found[limit:]:
        sock.close()
    for sock in found[:limit]:
        sock.setblocking(True)
        sock.listen(BACKLOG)
    return found[:limit]


def url_host(sock: socket.socket) -> str:
    """The loopback address that a socket listens on, as a URL has it."""
    return "[::1]" if sock.family == socket.AF_INET6 else "127.0.0.1"


def make_context(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """Return a server context for `host` and loopback, and the CA's certificate (PEM file in `folder`) to trust.

    The private keys are in no file when it returns.
    """
    ca = trustme.CA(organization_name="eicctl", organization_unit_name="local CA")
    names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1"))
    certificate = ca.issue_cert(*names, not_after=datetime.now(UTC) + _CERTIFICATE_LIFETIME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    ca_file = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    return context, ca_file


def with_system_cas(ca_file: Path) -> Path:
    """Return a file beside the CA's that has the system's CAs too, for programs that accept one file only."""
    import botocore

    candidates = (
        ssl.get_default_verify_paths().cafile,  # of SSL_CERT_FILE, if that is set
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
        str(Path(botocore.__file__).with_name("cacert.pem")),
    )
    system = next((Path(path).read_bytes() for path in candidates if path and Path(path).is_file()), b"")
    path = ca_file.with_name("trusted.pem")
    path.write_bytes(ca_file.read_bytes() + system)
    return path
