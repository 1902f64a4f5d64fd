"""Misbehaviour on demand: what a fault may say, and how the gateway shows it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from websockets.asyncio.server import ServerConnection

from eicctl.emulator.state import Fault

KINDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "refuse": {"status": int, "body": (str, dict), "headers": dict},
    "delay": {"seconds": (int, float), "stage": str},
    "cut": {"stage": str, "after_bytes": int, "after_seconds": (int, float)},
    "close": {"code": int, "reason": str, "after_bytes": int, "after_seconds": (int, float)},
    "text": {"text": str},
    "garbage": {},
    "fragment": {"size": int},
    "stall": {"direction": str},
}
"""Each kind with its parameters; docs/emulator.md tells what they do."""

STAGES = ("handshake", "target", "open")


def parse(content: Mapping[str, Any]) -> Fault:
    """Return the fault that a JSON object asks for.

    Raises:
        ValueError: With the reason.
    """
    content = dict(content)
    kind = content.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    common = {name: content.pop(name) for name in ("times", "endpoint_id", "address") if name in content}
    if not isinstance(common.get("times", 1), int):
        raise ValueError("times must be a whole number; -1 is always")
    for name, value in content.items():
        if name not in KINDS[kind]:
            raise ValueError(f"{name} is not a parameter of {kind}")
        if not isinstance(value, KINDS[kind][name]) or isinstance(value, bool):
            raise ValueError(f"{name} has the wrong type")
    if content.get("stage", "open") not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}")
    return Fault(id=secrets.token_hex(4), kind=kind, parameters=content, **common)


def shown(fault: Fault) -> dict[str, Any]:
    """Return a fault as a JSON object."""
    return {
        "id": fault.id,
        "kind": fault.kind,
        "times": fault.times,
        "endpoint_id": fault.endpoint_id,
        "address": fault.address,
        **fault.parameters,
    }


def body_of(fault: Fault) -> bytes:
    """Return the body of a refusal."""
    body = fault.parameters.get("body", "")
    return (json.dumps(body) if isinstance(body, dict) else body).encode()


class Mischief:
    """Shows one fault, or none, on one open tunnel.

    Args:
        fault: What to show.
        tunnel: The websocket.
    """

    def __init__(self, fault: Fault | None, tunnel: ServerConnection) -> None:
        self.kind = fault.kind if fault else ""
        self._parameters = fault.parameters if fault else {}
        self._tunnel = tunnel
        self._sent = 0

    async def at_start(self) -> None:
        """Do what is due when the tunnel is open."""
        if self.kind == "delay" and self._parameters.get("stage") == "target":
            await asyncio.sleep(self._parameters.get("seconds", 1))
        elif self.kind == "text":
            await self._tunnel.send(str(self._parameters.get("text", "unexpected")))
        elif self.kind == "garbage":
            self._tunnel.transport.write(b"\xff" * 64)

    async def by_time(self) -> None:
        """Do what is due after a time; never returns where nothing is."""
        seconds = self._parameters.get("after_seconds")
        if seconds is None or self.kind not in ("cut", "close"):
            await asyncio.Event().wait()
        await asyncio.sleep(float(seconds or 0))
        await self._end()

    async def send(self, data: bytes) -> bool:
        """Send the target's bytes as the fault has it; return whether the tunnel goes on."""
        limit = self._parameters.get("after_bytes") if self.kind in ("cut", "close") else None
        if limit is not None and self._sent + len(data) >= limit:
            await self._tunnel.send(data[: limit - self._sent])
            await self._end()
            return False
        self._sent += len(data)
        if self.kind == "fragment":
            await self._tunnel.send(self._fragments(data))
        else:
            await self._tunnel.send(data)
        return True

    def stalls(self, direction: str) -> bool:
        """Whether bytes in a direction (`in`: from the target, `out`: to it) are not carried."""
        return self.kind == "stall" and self._parameters.get("direction", "both") in (direction, "both")

    async def _fragments(self, data: bytes) -> AsyncIterator[bytes]:
        size = max(1, int(self._parameters.get("size", 1000)))
        for start in range(0, len(data), size):
            yield data[start : start + size]
            await self._tunnel.ping()

    async def _end(self) -> None:
        if self.kind == "cut":
            self._tunnel.transport.abort()
        else:
            await self._tunnel.close(self._parameters.get("code", 1011), str(self._parameters.get("reason", "")))
