"""The sockets that the emulator listens on."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import Any

from eicctl.emulator.faults import BEFORE_TLS
from eicctl.emulator.state import State
from eicctl.errors import LocalError

BACKLOG = 512

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Doorway(socket.socket):
    """A listening socket that cuts a connection before TLS where a fault wants it.

    asyncio's servers know nothing of a connection until TLS is up, but they take what `accept` gives them, and a
    connection that is gone by then is theirs to ignore: ConnectionAbortedError.
    """

    state: State | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: A fault has cut it.
        """
        connection, address = super().accept()
        fault = self.state.take_fault("", "", BEFORE_TLS) if self.state else None
        if fault is None:
            return connection, address
        if fault.parameters["stage"] == "tls":
            asyncio.get_running_loop().call_later(0.05, _reset, connection)
        else:
            _reset(connection)
        raise ConnectionAbortedError


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    connection.close()


def data_sockets(state: State, port: int) -> list[Doorway]:
    """Return sockets on both loopback addresses, or on IPv4's where there is no IPv6.

    Raises:
        LocalError: The port is not to be had.
    """
    first = listen(socket.AF_INET, "127.0.0.1", port)
    sockets = [first]
    try:
        sockets.append(listen(socket.AF_INET6, "::1", int(first.getsockname()[1])))
    except (OSError, LocalError):
        if port and socket.has_ipv6 and _has_loopback6():
            first.close()
            raise
    for sock in sockets:
        sock.state = state
    return sockets


def _has_loopback6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def listen(family: int, host: str, port: int) -> Doorway:
    """Return a listening socket.

    Raises:
        LocalError: The port is in use, or not permitted.
    """
    sock = Doorway(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise LocalError(
                f"port {port} on {host} is in use", hint="choose others with --port and --data-port"
            ) from error
        if error.errno == errno.EACCES:
            raise LocalError(
                f"not permitted to listen on port {port}", hint="ports below 1024 need privileges"
            ) from error
        raise
    return sock
