"""A websocket client for tests that owes nothing to eicctl: websockets' asyncio client on a loop in a thread.

(websockets' threading client reads and writes one TLS connection in two threads, and now and then loses its request.)
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect

T = TypeVar("T")


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


class PlainTunnel:
    """An open websocket."""

    def __init__(self, loop: Loop, connection: ClientConnection) -> None:
        self._loop = loop
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def headers(self) -> Any:
        """The headers of the handshake's answer."""
        assert self._connection.response
        return self._connection.response.headers

    def recv(self, timeout: float = 60) -> str | bytes:
        return self._loop.run(asyncio.wait_for(self._connection.recv(), timeout))

    def recv_fragments(self) -> list[bytes]:
        async def collect() -> list[bytes]:
            return [bytes(part) async for part in self._connection.recv_streaming(decode=False)]

        return self._loop.run(collect())

    def send(self, data: str | bytes) -> None:
        self._loop.run(self._connection.send(data))

    def close(self) -> None:
        self._loop.run(self._connection.close())


class PlainClient:
    """Opens websockets, and closes them all at the end."""

    def __init__(self, ca_file: str) -> None:
        self._context = ssl.create_default_context(cafile=ca_file)
        self._loop = Loop()
        self._tunnels: list[PlainTunnel] = []

    def open(self, url: str, user_agent: str | None = None) -> PlainTunnel:
        async def dial() -> ClientConnection:
            return await connect(
                url,
                ssl=self._context,
                compression=None,
                max_size=None,
                proxy=None,
                ping_interval=None,
                close_timeout=1,
                user_agent_header=user_agent,
            )

        tunnel = PlainTunnel(self._loop, self._loop.run(dial()))
        self._tunnels.append(tunnel)
        return tunnel

    def close(self) -> None:
        for tunnel in self._tunnels:
            tunnel.close()
        self._loop.close()


@contextmanager
def plain_client(ca_file: str) -> Iterator[PlainClient]:
    """A client as long as the block lasts."""
    client = PlainClient(ca_file)
    try:
        yield client
    finally:
        client.close()
