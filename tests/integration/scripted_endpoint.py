"""An endpoint that does what a test says, byte by byte: who signs what is not looked at."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from eicctl.core.model import Credentials, Target
from eicctl.emulator.data.sockets import make_context
from eicctl.tunnel.dial import Dialer

Script = Callable[["Peer"], object]


class Peer:
    """A client's connection, after TLS. What `protocol` has to send goes out in one TLS record by `flush`.

    Attributes:
        sock: The TLS connection.
        protocol: What speaks HTTP and websocket for it, without I/O.
        request: The handshake, once it has come.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self.protocol = ServerProtocol()
        self.request: Request

    def accept(self) -> None:
        """Read the handshake, and have its answer ready."""
        while True:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.protocol.receive_data(data)
            if events := self.protocol.events_received():
                assert isinstance(events[0], Request)
                self.request = events[0]
                self.protocol.send_response(self.protocol.accept(self.request))
                return

    def flush(self, keep: int = 0) -> bytes:
        """Send all that is ready but the last `keep` bytes, which are returned."""
        data = b"".join(self.protocol.data_to_send())
        end = len(data) - keep
        self.sock.sendall(data[:end])
        return data[end:]

    def receive(self) -> list[Frame]:
        """Return the next frames that come; empty at the end. What they ask for is answered."""
        while data := self.sock.recv(65536):
            self.protocol.receive_data(data)
            self.flush()
            if frames := [event for event in self.protocol.events_received() if isinstance(event, Frame)]:
                return frames
        return []

    def wait_for_end(self) -> None:
        """Read until the client has closed."""
        while self.receive():
            pass

    def join(self, other: socket.socket) -> None:
        """Carry bytes between the client and a socket until one of them ends."""
        with other:
            while True:
                ready = [self.sock] if self.sock.pending() else select.select([self.sock, other], [], [])[0]
                if self.sock in ready:
                    if not (frames := self.receive()):
                        return
                    carried = (Opcode.BINARY, Opcode.CONT)
                    other.sendall(b"".join(frame.data for frame in frames if frame.opcode in carried))
                if other in ready:
                    if not (data := other.recv(16000)):
                        return
                    self.protocol.send_binary(data)
                    self.flush()


class ScriptedEndpoint:
    """A TLS server, each of whose connections is given to a script in a thread of its own.

    Args:
        folder: Where its CA's certificate is written.
        script: What to do with a connection. It is closed afterwards.
        raw: Takes each connection before TLS, in place of the handshake's usual run.

    Attributes:
        name: Its `HOST:PORT`.
        ca: The CA to trust.
        accepted: How many connections have come.
    """

    def __init__(self, folder: Path, script: Script, *, raw: Callable[[socket.socket], object] | None = None) -> None:
        self._context, ca = make_context(folder, "localhost")
        self.ca = str(ca)
        self._script = script
        self._raw = raw
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.name = f"localhost:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self._clients: list[socket.socket] = []
        self.target = Target("10.0.1.10", 22, "eice-0123456789abcdef0", self.name, "us-east-1")
        threading.Thread(target=self._accept, daemon=True).start()

    def dialer(self) -> Dialer:
        """What opens tunnels to it."""
        return Dialer(self.target, lambda: Credentials("AKIAEXAMPLE", "secret"), self.ca, 3600)

    def words(self) -> list[str]:
        """A command's options that lead to it without a question to AWS."""
        target = self.target
        return [
            "--private-ip-address",
            target.address,
            "--instance-connect-endpoint-id",
            target.endpoint_id,
            "--instance-connect-endpoint-dns-name",
            target.endpoint_dns_name,
            "--ca-bundle",
            self.ca,
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._clients):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            if self._raw:
                self._raw(client)
                return
            with self._context.wrap_socket(client, server_side=True, suppress_ragged_eofs=True) as secure:
                self._clients.append(secure)
                self._script(Peer(secure))
