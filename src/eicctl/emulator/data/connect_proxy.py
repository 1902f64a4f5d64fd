"""An HTTP proxy to the data plane only, for clients that always dial port 443."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Sequence

_CONNECT = re.compile(rb"CONNECT (\S+):(\d{1,5}) HTTP/1\.[01]\r\n")
_LONGEST_HEAD = 16_384
_HEAD_TIMEOUT = 10.0
_CHUNK = 65_536


class ConnectProxy:
    """Takes CONNECT (RFC 9110, section 9.3.6) to port 443 of the data plane's hosts, and to its own ports.

    Args:
        host: The host in the endpoints' DNS names.
        address: Where the data plane listens: an address and its first port, which port 443 leads to.
        ports: All ports of the data plane.
    """

    def __init__(self, host: str, address: tuple[str, int], ports: Sequence[int]) -> None:
        self._hosts = {host.lower(), "localhost", "127.0.0.1", "[::1]"}
        self._address = address
        self._ports = ports
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, sock: socket.socket) -> None:
        """Serve on a listening socket."""
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=_LONGEST_HEAD)

    async def stop(self) -> None:
        """Stop serving, and close open connections."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine runs in one
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(_HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
            if port := self._port_of(head):
                from_target, to_target = await asyncio.open_connection(self._address[0], port)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                try:
                    await asyncio.gather(_relay(reader, to_target), _relay(from_target, writer))
                finally:
                    to_target.close()
            else:
                writer.write(
                    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
                    b"This proxy of eicctl's local AWS leads to its endpoints only.\n"
                )
                await writer.drain()
        writer.close()

    def _port_of(self, head: bytes) -> int:
        """Return the port of the data plane that a request names, or 0."""
        found = _CONNECT.match(head)
        if not found or found[1].decode("latin-1").lower() not in self._hosts:
            return 0
        port = int(found[2])
        return self._address[1] if port == 443 else port if port in self._ports else 0


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Relay bytes and the end of the stream."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()
