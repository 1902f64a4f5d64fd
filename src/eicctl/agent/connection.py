"""A background process's end of a client's connection."""

from __future__ import annotations

import asyncio
import socket

from eicctl.agent import protocol

MOST_DESCRIPTORS = 3
"""File descriptors that a client may hand over with its first message: its stdin, stdout and stderr."""


class Connection:
    """One client. Messages come with the file descriptors that were sent along.

    Args:
        sock: The accepted socket. It is closed by `close`.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._sending = asyncio.Lock()
        self.descriptors: list[int] = []

    async def receive(self) -> protocol.Message | None:
        """Return the next message, or None at the end.

        Raises:
            wire.WireError: What came is no message.
            OSError: The connection broke.
        """
        head = await self._exactly(protocol.HEAD_SIZE)
        if not head:
            return None
        body = await self._exactly(protocol.body_length(head))
        return protocol.decode(body)

    async def send(self, message: protocol.Message) -> None:
        """Send a message."""
        async with self._sending:
            await self._loop.sock_sendall(self._sock, protocol.encode(message))

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    async def _exactly(self, size: int) -> bytes:
        """Read so many bytes; nothing where the end comes first and nothing has come."""
        while len(self._buffer) < size:
            await self._readable()
            data, descriptors, _, _ = socket.recv_fds(self._sock, 65536, MOST_DESCRIPTORS)
            self.descriptors += descriptors
            if len(self.descriptors) > MOST_DESCRIPTORS:
                raise protocol.WireError("too many file descriptors")
            if not data:
                if self._buffer:
                    raise protocol.WireError("the end came within a message")
                return b""
            self._buffer += data
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    async def _readable(self) -> None:
        ready = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self._loop.add_reader(self._sock.fileno(), wake)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._sock.fileno())
