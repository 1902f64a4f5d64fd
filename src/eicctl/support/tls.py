"""TLS to the endpoint: always verified, and with all that has arrived decrypted at once.

An `ssl.SSLSocket` asks the kernel twice for each record of 16 KiB; taking 256 KiB from the kernel and decrypting in
memory needs a third less CPU for bulk transfers (benchmarks/RESULTS.md).
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import ssl
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from eicctl.core.errors import LocalError, NetworkError
from eicctl.support.clock import seconds_left

SIZE = 2**18


class _Scratch(threading.local):
    """The calling thread's buffers for what is read and passed on at once, so that a connection owns none.

    `cipher` is for bytes that come encrypted, and `view` for plain ones. `view` is
    longer: to what one read brings, the end of a TLS record that an earlier one has brought may add.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SIZE + 2**15))
        self.cipher = memoryview(bytearray(SIZE))


SCRATCH = _Scratch()

_RECORD = 16384
_TCP_INFO = struct.Struct("=2xBB40xI8xI")
"""Of struct tcp_info (<linux/tcp.h>): retransmits and probes without an answer, and milliseconds since data were sent
and since the last acknowledgement came."""


class SecureSocket:
    """A client's TLS connection. Blocking, with the socket's time-out, until `set_nonblocking` is called."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None = None
    ) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)
        self._unsent: bytes | memoryview = b""

    def handshake(self) -> None:
        """Do the TLS handshake, blocking; the socket's time-out is for all of it.

        Raises:
            ssl.SSLCertVerificationError: The certificate is not trusted.
            OSError: Anything else, a time-out included.
        """
        timeout = self._sock.gettimeout()
        deadline = time.monotonic() + (timeout or 0.0)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._sock.sendall(self._outgoing.read())
                if timeout is not None:
                    self._sock.settimeout(seconds_left(deadline))
                if not (data := self._sock.recv(65536)):
                    raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the server closed the connection") from None
                self._incoming.write(data)
            except ssl.SSLError:
                if self._outgoing.pending:  # the alert that tells the server why
                    self._sock.sendall(self._outgoing.read())
                raise
            else:
                self._sock.sendall(self._outgoing.read())
                self._sock.settimeout(timeout)
                return

    @property
    def certificate(self) -> bytes:
        """The server's certificate (DER); empty before the handshake."""
        return self._tls.getpeercert(binary_form=True) or b""

    @property
    def version(self) -> str:
        """The protocol: `TLSv1.3`."""
        return self._tls.version() or ""

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection to the same server can resume, once something has been received."""
        return self._tls.session

    @property
    def resumed(self) -> bool:
        """Whether the server has taken the session of an earlier connection."""
        return bool(self._tls.session_reused)

    def idle(self) -> bool:
        """Whether the connection is open, and nothing has come but what TLS itself has sent. It does not block then."""
        self._sock.settimeout(0)
        try:
            while not self.receive():
                continue
        except BlockingIOError:
            try:
                self._tls.read(1)
            except ssl.SSLWantReadError:
                return True
            except ssl.SSLError:  # it was closed by TLS, and TCP is open
                return False
        except (OSError, EOFError):
            return False
        return False

    def settimeout(self, timeout: float) -> None:
        """Block for at most so many seconds; 0 for never."""
        self._sock.settimeout(timeout)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._sock.fileno()

    def receive(self) -> memoryview | None:
        """Return what has arrived, valid until the next read on this thread, or None if that has no application data.

        One read of the socket and no more, so that nothing decryptable stays behind.

        Raises:
            EOFError: The server has ended the connection.
            BlockingIOError, TimeoutError: Nothing has arrived.
            OSError: The connection broke.
        """
        size = self._decrypted()
        if not size:
            arrived = self._sock.recv_into(SCRATCH.cipher)
            if not arrived:
                raise EOFError
            self._incoming.write(SCRATCH.cipher[:arrived])
            size = self._decrypted()
        if self._outgoing.pending:  # a key update's answer
            self.send(b"")
        return SCRATCH.view[:size] if size else None

    def _decrypted(self) -> int:
        """Decrypt all that has arrived into the scratch buffer; return how many bytes."""
        view, size = SCRATCH.view, 0
        try:
            while self._incoming.pending or self._tls.pending():
                # With a buffer it returns a count, which the stubs do not know.
                taken = cast("int", self._tls.read(_RECORD, view[size:]))
                if not taken:
                    break
                size += taken
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return size

    def send(self, *pieces: bytes) -> bool:
        """Encrypt the pieces and send as much as the kernel takes; return whether that was all.

        Raises:
            OSError: The connection broke.
        """
        for piece in pieces:
            if piece:
                self._tls.write(piece)
        return self.flush()

    def flush(self) -> bool:
        """Send what `send` has left over; return whether nothing is left now."""
        try:
            while encrypted := self._unsent or self._outgoing.read():
                self._unsent = encrypted  # in case that the kernel takes nothing
                sent = self._sock.send(encrypted)
                self._unsent = memoryview(encrypted)[sent:] if sent < len(encrypted) else b""
        except BlockingIOError:
            return False
        return True

    @property
    def unsent(self) -> int:
        """How many encrypted bytes wait for the kernel."""
        return len(self._unsent) + self._outgoing.pending

    def unacknowledged(self) -> tuple[bool, float]:
        """Return whether something that was sent waits for an acknowledgement for longer than is usual, and the seconds
        since the last one. Only Linux tells; elsewhere nothing waits."""
        if sys.platform != "linux":
            return False, 0.0
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        retransmits, probes, sent, acknowledged = _TCP_INFO.unpack(info)
        # Who has no room acknowledges probes and retransmissions, but not two that follow each other closely.
        return bool(probes > 1 or (retransmits and acknowledged > sent)), acknowledged / 1000

    def close(self) -> None:
        """Close the connection; what is unsent is lost."""
        self._sock.close()


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
            NetworkError: TLS failed; its cause is an `ssl.SSLCertVerificationError` where the certificate is not
                trusted.
        """
        with contextlib.ExitStack() as failed:
            failed.callback(sock.close)
            try:
                stream = SecureSocket(sock, self.context, host, self.sessions.get((host, port), (None,))[0])
                stream.handshake()
            except ssl.SSLCertVerificationError as error:
                raise NetworkError(
                    f"The certificate of {host}:{port} is not trusted: {error.verify_message}",
                    hint="if a proxy decrypts TLS, specify its CA: --ca-bundle FILE, or AWS_CA_BUNDLE",
                ) from error
            except TimeoutError as error:
                raise NetworkError(f"{host}:{port} does not answer the TLS handshake", transient=True) from error
            except (OSError, ValueError) as error:
                raise NetworkError(
                    f"TLS with {host}:{port} failed: {error}", transient=isinstance(error, OSError)
                ) from error
            failed.pop_all()
            return stream

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
            f"Cannot read the CA bundle {ca_bundle}: {why}",
            hint="it comes from --ca-bundle, AWS_CA_BUNDLE, or ca_bundle of the profile",
        ) from error
