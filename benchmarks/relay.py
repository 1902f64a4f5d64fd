"""A TCP relay with the latency of a distant network: every byte arrives half a round trip later."""

from __future__ import annotations

import asyncio
import sys


class _Side(asyncio.Protocol):
    """One end of a relayed connection; what it receives is written to the other end later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._early: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def meet(self, other: _Side) -> None:
        self.other = other
        for data in self._early:
            self._send(data)

    def data_received(self, data: bytes) -> None:
        if self.other:
            self._send(data)
        else:
            self._early.append(data)

    def _send(self, data: bytes) -> None:
        assert self.other
        assert self.other.transport
        asyncio.get_running_loop().call_later(self._delay, self.other.transport.write, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other and self.other.transport:
            asyncio.get_running_loop().call_later(self._delay, self.other.transport.close)


async def serve(upstream: tuple[str, int], round_trip: float) -> None:
    """Relay connections of a free port to `upstream`; print the port."""
    loop = asyncio.get_running_loop()

    def accept() -> _Side:
        near = _Side(round_trip / 2)

        async def dial() -> None:
            # The TCP handshake takes a round trip, of which the kernel's on loopback shows nothing.
            await asyncio.sleep(round_trip)
            _, far = await loop.create_connection(lambda: _Side(round_trip / 2), *upstream)
            far.meet(near)
            near.meet(far)

        tasks.append(loop.create_task(dial()))
        return near

    tasks: list[asyncio.Task[None]] = []
    server = await loop.create_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])))
