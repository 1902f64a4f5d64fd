"""Faults on demand: their kinds and parameters, and the injector for one connection."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection

from eicctl.emulator.state import Fault

_NEVER = float("inf")
_HALF_A_RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs"
_NO_FRAME = b"\xff" * 64  # reserved bits, an unknown opcode, and a mask that a server must not send (RFC 6455, 5.2)
_BINARY = 0x82
_LENGTH_IN_16_BITS = 126


class FaultInjector:
    """Injects one fault, or none, into one connection.

    Args:
        fault: What to inject.
        tunnel: The websocket.
    """

    def __init__(self, fault: Fault | None, tunnel: ServerConnection) -> None:
        self._kind = fault.kind if fault else ""
        self._parameters = fault.parameters if fault else {}
        self._stage = self._parameters.get("stage", "")
        self._tunnel = tunnel
        self._sent = 0
        self._limit, self._seconds = self._ending()

    def _ending(self) -> tuple[float, float]:
        """After how many bytes, and how many seconds, the connection ends."""
        if self._kind not in ("cut", "close"):
            return _NEVER, _NEVER
        by_bytes, by_time = (self._parameters.get(name) for name in ("after_bytes", "after_seconds"))
        if by_bytes is None and by_time is None:
            # Half a frame needs bytes to be half of.
            return (1, _NEVER) if self._stage == "frame" else (_NEVER, 0)
        return _NEVER if by_bytes is None else by_bytes, _NEVER if by_time is None else by_time

    async def in_handshake(self) -> None:
        """Inject what is due when the request has arrived; the connection may be closed afterwards."""
        if self._kind == "delay" and self._stage == "handshake":
            await asyncio.sleep(self._parameters.get("seconds", 1))
        elif self._kind == "cut" and self._stage in ("handshake", "response"):
            if self._stage == "response":
                self._tunnel.transport.write(_HALF_A_RESPONSE)
            self._tunnel.transport.abort()

    async def at_start(self) -> None:
        """Inject what is due when the tunnel is open and the target not yet connected."""
        if self._kind == "delay" and self._stage == "target":
            await asyncio.sleep(self._parameters.get("seconds", 1))
        elif self._kind == "text":
            await self._tunnel.send(str(self._parameters.get("text", "unexpected")))
        elif self._kind == "garbage":
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
            if self._stage == "frame":
                self._send_half_a_frame(last)
            elif last:
                await self._tunnel.send(last)
            await self._end()
            return False
        self._sent += len(data)
        if self._kind == "fragment":
            await self._tunnel.send(self._fragments(data))
        elif self._kind == "drip":
            await self._drip(data)
        else:
            await self._tunnel.send(data)
        return True

    def stalls(self, direction: str) -> bool:
        """Whether bytes in a direction (`in`: from the target, `out`: to it) are not relayed."""
        return self._kind == "stall" and self._parameters.get("direction", "both") in (direction, "both")

    def _pieces(self, data: bytes, size: int) -> list[bytes]:
        size = max(1, int(self._parameters.get("size", size)))
        return [data[start : start + size] for start in range(0, len(data), size)]

    async def _fragments(self, data: bytes) -> AsyncIterator[bytes]:
        for piece in self._pieces(data, 1000):
            yield piece
            await self._tunnel.ping()

    async def _drip(self, data: bytes) -> None:
        for piece in self._pieces(data, 1):
            await self._tunnel.send(piece)
            await asyncio.sleep(self._parameters.get("seconds", 0.01))

    def _send_half_a_frame(self, data: bytes) -> None:
        """Write a frame that promises twice the bytes that come (RFC 6455, 5.2)."""
        promised = (2 * len(data) + 126).to_bytes(2, "big")
        self._tunnel.transport.write(bytes([_BINARY, _LENGTH_IN_16_BITS]) + promised + data)

    async def _end(self) -> None:
        if self._kind == "cut":
            self._tunnel.transport.abort()
        else:
            await self._tunnel.close(self._parameters.get("code", 1011), str(self._parameters.get("reason", "")))


Types = Mapping[str, type | tuple[type, ...]]

_NUMBER = (int, float)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: its parameters with their types, and the stages of a connection at which it can be injected."""

    parameters: Types
    stages: tuple[str, ...] = ("open",)

    @property
    def stage(self) -> str:
        """The default stage."""
        return self.stages[0]


_ENDING: Types = {"after_bytes": int, "after_seconds": _NUMBER}

KINDS: Mapping[str, Kind] = {
    "refuse": Kind({"status": int, "body": (str, dict), "headers": dict}, ("handshake",)),
    "delay": Kind({"seconds": _NUMBER}, ("handshake", "target")),
    "cut": Kind(_ENDING, ("open", "tcp", "tls", "handshake", "response", "frame")),
    "close": Kind({"code": int, "reason": str, **_ENDING}),
    "text": Kind({"text": str}),
    "garbage": Kind({}),
    "fragment": Kind({"size": int}),
    "drip": Kind({"size": int, "seconds": _NUMBER}),
    "stall": Kind({"direction": str}),
}
"""Each kind by its name; docs/reference/local-aws.md describes them."""

_RANGES: Mapping[str, tuple[float, float]] = {"status": (100, 599), "code": (1000, 4999), "times": (-1, float("inf"))}

BEFORE_TLS = ("tcp", "tls")
"""Stages at which nothing is known of a connection: the fault matches any."""

AFTER_TLS = ("handshake", "response", "target", "open", "frame")

DIRECTIONS = ("in", "out", "both")


def parse_fault(content: Mapping[str, Any]) -> Fault:
    """Return the fault that a JSON object describes.

    Raises:
        ValueError: With the reason.
    """
    content = dict(content)
    name = content.pop("kind", None)
    if name not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    kind = KINDS[name]
    common: dict[str, Any] = {"times": content.pop("times", 1)}
    common |= {key: content.pop(key, "") for key in ("endpoint_id", "address")}
    _check_types(common, {"times": int, "endpoint_id": str, "address": str}, name)
    stage = content.pop("stage", kind.stage)
    if stage not in kind.stages:
        raise ValueError(f"stage of {name} must be one of {', '.join(kind.stages)}")
    if stage in BEFORE_TLS and (common["endpoint_id"] or common["address"]):
        raise ValueError(f"at stage {stage} neither endpoint_id nor address is known yet")
    if common["times"] == 0:
        raise ValueError("times must be at least 1, or -1 for always")
    if content.get("direction", "both") not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}")
    _check_types(content, kind.parameters, name)
    return Fault(id=secrets.token_hex(4), kind=name, parameters={**content, "stage": stage}, **common)


def _check_types(given: Mapping[str, Any], wanted: Types, kind: str) -> None:
    for name, value in given.items():
        if name not in wanted:
            raise ValueError(f"{name} is not a parameter of {kind}")
        if not isinstance(value, wanted[name]) or isinstance(value, bool):
            raise ValueError(f"{name} has the wrong type")
        first, last = _RANGES.get(name, (0, float("inf")))
        if isinstance(value, int | float) and not first <= value <= last:
            raise ValueError(f"{name} must be between {first} and {last}")


def fault_row(fault: Fault) -> dict[str, Any]:
    """Return a fault as a JSON object."""
    return {
        "id": fault.id,
        "kind": fault.kind,
        "times": fault.times,
        "endpoint_id": fault.endpoint_id,
        "address": fault.address,
        **fault.parameters,
    }


def refusal_body(fault: Fault) -> bytes:
    """Return the body of a refusal."""
    body = fault.parameters.get("body", "")
    return (json.dumps(body) if isinstance(body, dict) else body).encode()
