"""Bytes between a websocket and a target, both ways, until one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from eicctl.emulator.data.fault_injector import Mischief

CHUNK = 65000
"""Bytes in a frame at most, as the AWS CLI has it (docs/explanation/protocol.md#data-plane)."""

LINGER = 5.0
"""Seconds for a target to take what a client that is gone has sent."""


@dataclass(slots=True)
class Carried:
    """How many bytes a tunnel has carried."""

    to_target: int = 0
    from_target: int = 0


class Carrier:
    """Carries the bytes of one tunnel. Memory is bounded: whoever does not read stops the other's writing.

    Args:
        tunnel: The websocket.
        mischief: The fault that it shows.
        carried: Counts.
    """

    def __init__(self, tunnel: ServerConnection, mischief: Mischief, carried: Carried) -> None:
        self._tunnel = tunnel
        self._mischief = mischief
        self._carried = carried

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, duration: float) -> None:
        """Carry until an end, or for `duration` seconds; then hang up on the target."""
        try:
            with contextlib.suppress(ConnectionClosed, OSError):
                await _first_of(
                    self._up(writer),
                    self._down(reader),
                    self._expire(duration),
                    self._mischief.by_time(),
                    self._client_gone(),
                )
            writer.close()
            async with asyncio.timeout(LINGER):
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass
        finally:
            writer.transport.abort()

    async def _up(self, target: asyncio.StreamWriter) -> None:
        """From the client to the target. There is no half-close: the client's end is the tunnel's."""
        if self._mischief.stalls("out"):
            await asyncio.Event().wait()
        async for message in self._tunnel:
            if isinstance(message, str):
                await self._tunnel.close(1003, "Only binary frames are accepted")
                return
            target.write(message)
            await target.drain()
            self._carried.to_target += len(message)

    async def _down(self, target: asyncio.StreamReader) -> None:
        """From the target to the client; the target's end is the tunnel's."""
        if self._mischief.stalls("in"):
            await asyncio.Event().wait()
        try:
            while data := await target.read(CHUNK):
                if not await self._mischief.send(data):
                    return
                self._carried.from_target += len(data)
        except ConnectionClosed:
            # What the client has sent before it left is still on its way: the target must not be stuck in writing.
            while await target.read(CHUNK):
                pass
        else:
            await self._tunnel.close(1000)

    async def _expire(self, duration: float) -> None:
        """End the tunnel at its longest duration. With which code and reason the service does is not documented."""
        await asyncio.sleep(duration)
        await self._tunnel.close(1000, "Maximum tunnel duration reached")

    async def _client_gone(self) -> None:
        """Return when the client is gone and the target has had its time to take what is left."""
        await self._tunnel.wait_closed()
        await asyncio.sleep(LINGER)


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Do all until one is done, and leave the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
