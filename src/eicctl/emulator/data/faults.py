"""Faults on demand: their kinds and parameters, and the injector for one connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta
from websockets.asyncio.server import ServerConnection

from eicctl.emulator.state import Fault

_NEVER = float("inf")
_HALF_A_RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs"
_NO_FRAME = b"\xff" * 64  # reserved bits, an unknown opcode, and a mask that a server must not send (RFC 6455, 5.2)
_BINARY = 0x82
_LENGTH_IN_16_BITS = 126


Seconds = Annotated[float, Meta(ge=0)]
Size = Annotated[int, Meta(ge=1)]
After = Annotated[int, Meta(ge=0)] | None

BEFORE_TLS = ("tcp", "tls")
"""Stages at which nothing is known of a connection: the fault matches any."""

AFTER_TLS = ("handshake", "response", "target", "open", "frame")


# The kinds of faults, each with its parameters and stages; docs/reference/local-aws.md describes them.


class Refuse(Fault, frozen=True, kw_only=True, tag="refuse"):
    """The handshake is refused."""

    stage: Literal["handshake"] = "handshake"
    status: Annotated[int, Meta(ge=100, le=599)] = 503
    body: str | dict[str, Any] = ""
    headers: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body of the response."""
        return (json.dumps(self.body) if isinstance(self.body, dict) else self.body).encode()


class Delay(Fault, frozen=True, kw_only=True, tag="delay"):
    """The handshake, or the connection to the target, takes longer."""

    stage: Literal["handshake", "target"] = "handshake"
    seconds: Seconds = 1.0


class Cut(Fault, frozen=True, kw_only=True, tag="cut"):
    """The TCP connection is reset."""

    stage: Literal["open", "tcp", "tls", "handshake", "response", "frame"] = "open"
    after_bytes: After = None
    after_seconds: Seconds | None = None


class Close(Fault, frozen=True, kw_only=True, tag="close"):
    """The websocket is closed."""

    code: Annotated[int, Meta(ge=1000, le=4999)] = 1011
    reason: str = ""
    after_bytes: After = None
    after_seconds: Seconds | None = None


class Text(Fault, frozen=True, kw_only=True, tag="text"):
    """A text frame is sent."""

    text: str = "unexpected"


class Garbage(Fault, frozen=True, kw_only=True, tag="garbage"):
    """Bytes that are not a frame are sent."""


class Fragment(Fault, frozen=True, kw_only=True, tag="fragment"):
    """Messages are sent in fragments, with pings between them."""

    size: Size = 1000


class Drip(Fault, frozen=True, kw_only=True, tag="drip"):
    """Messages are sent in small pieces, slowly."""

    size: Size = 1
    seconds: Seconds = 0.01


class Stall(Fault, frozen=True, kw_only=True, tag="stall"):
    """Bytes are not relayed."""

    direction: Literal["in", "out", "both"] = "both"


AnyFault = Refuse | Delay | Cut | Close | Text | Garbage | Fragment | Drip | Stall

KINDS: Mapping[str, type[Fault]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyFault)}


def parse_fault(content: Mapping[str, Any]) -> Fault:
    """Return the fault that a JSON object describes.

    Raises:
        ValueError: With the reason.
    """
    fault: Fault = msgspec.convert(content, AnyFault)
    if fault.stage in BEFORE_TLS and (fault.endpoint_id or fault.address):
        raise ValueError(f"at stage {fault.stage} neither endpoint_id nor address is known yet")
    if fault.times == 0:
        raise ValueError("times must be at least 1, or -1 for always")
    return fault


class FaultInjector:
    """Injects one fault, or none, into one connection.

    Args:
        fault: What to inject.
        tunnel: The websocket.
    """

    def __init__(self, fault: Fault | None, tunnel: ServerConnection) -> None:
        self._fault = fault
        self._tunnel = tunnel
        self._sent = 0
        self._limit, self._seconds = _ending(fault)

    async def in_handshake(self) -> None:
        """Inject what is due when the request has arrived; the connection may be closed afterwards."""
        match self._fault:
            case Delay(stage="handshake", seconds=seconds):
                await asyncio.sleep(seconds)
            case Cut(stage="handshake" | "response" as stage):
                if stage == "response":
                    self._tunnel.transport.write(_HALF_A_RESPONSE)
                self._tunnel.transport.abort()

    async def at_start(self) -> None:
        """Inject what is due when the tunnel is open and the target not yet connected."""
        match self._fault:
            case Delay(stage="target", seconds=seconds):
                await asyncio.sleep(seconds)
            case Text(text=text):
                await self._tunnel.send(text)
            case Garbage():
                self._tunnel.transport.write(_NO_FRAME)

    async def by_time(self) -> None:
        """Inject what is due after a time; never returns if nothing is."""
        if self._seconds == _NEVER:
            await asyncio.Event().wait()
        await asyncio.sleep(self._seconds)
        await self._end()

    async def send(self, data: bytes) -> bool:
        """Send the target's bytes, modified by the fault; return whether the tunnel stays open."""
        if self._sent + len(data) >= self._limit:
            last = data[: int(self._limit) - self._sent]
            if self._fault and self._fault.stage == "frame":
                self._send_half_a_frame(last)
            elif last:
                await self._tunnel.send(last)
            await self._end()
            return False
        self._sent += len(data)
        match self._fault:
            case Fragment(size=size):
                await self._tunnel.send(self._fragments(data, size))
            case Drip(size=size, seconds=seconds):
                for piece in _pieces(data, size):
                    await self._tunnel.send(piece)
                    await asyncio.sleep(seconds)
            case _:
                await self._tunnel.send(data)
        return True

    def stalls(self, direction: str) -> bool:
        """Whether bytes in a direction (`in`: from the target, `out`: to it) are not relayed."""
        return isinstance(self._fault, Stall) and self._fault.direction in (direction, "both")

    async def _fragments(self, data: bytes, size: int) -> AsyncIterator[bytes]:
        for piece in _pieces(data, size):
            yield piece
            await self._tunnel.ping()

    def _send_half_a_frame(self, data: bytes) -> None:
        """Write a frame that promises twice the bytes that come (RFC 6455, 5.2)."""
        promised = (2 * len(data) + 126).to_bytes(2, "big")
        self._tunnel.transport.write(bytes([_BINARY, _LENGTH_IN_16_BITS]) + promised + data)

    async def _end(self) -> None:
        if isinstance(self._fault, Close):
            await self._tunnel.close(self._fault.code, self._fault.reason)
        else:
            self._tunnel.transport.abort()


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _ending(fault: Fault | None) -> tuple[float, float]:
    """After how many bytes, and how many seconds, a connection with the fault ends."""
    if not isinstance(fault, Cut | Close):
        return _NEVER, _NEVER
    if fault.after_bytes is None and fault.after_seconds is None:
        # Half a frame needs bytes to be half of.
        return (1, _NEVER) if fault.stage == "frame" else (_NEVER, 0)
    by_bytes, by_time = fault.after_bytes, fault.after_seconds
    return _NEVER if by_bytes is None else by_bytes, _NEVER if by_time is None else by_time
