"""The data plane: websockets in, TCP to the machines out."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from eicctl.emulator import faults
from eicctl.emulator.admission import Admitted, Refused, Request, admit, authenticate, parse
from eicctl.emulator.control import trail
from eicctl.emulator.control.credentials import Known
from eicctl.emulator.control.network import blocked
from eicctl.emulator.machines import Machines, Streams
from eicctl.emulator.signature import Verifier
from eicctl.emulator.state import Fault, State

CHUNK = 65000
UNREACHABLE = "Unable to connect to target"
HANDSHAKE_TIMEOUT = 60
"""Seconds until a client that does not finish the handshake is left; longer than any delay that a fault may ask for."""

STOP_TIMEOUT = 2
"""Seconds for connections to end when the emulator does."""

UNREACHABLE_DELAY = 0.1
"""Seconds until an unreachable target is said to be so; the real service takes a TCP time-out."""


class Gateway:
    """Serves `/openTunnel`.

    Args:
        state: The emulator's memory.
        verifier: Checks signatures.
        machines: Connects to machines.
    """

    def __init__(self, state: State, verifier: Verifier, machines: Machines) -> None:
        self._state = state
        self._verifier = verifier
        self._machines = machines
        self._open: Counter[str] = Counter()
        self._servers: list[Server] = []

    async def start(self, sockets: Sequence[socket.socket], context: ssl.SSLContext) -> None:
        """Serve on listening sockets."""
        for sock in sockets:
            server = await serve(
                self._carry,
                sock=sock,
                ssl=context,
                process_request=self._handshake,
                process_response=self._answer,
                compression=None,
                max_size=None,
                ping_interval=None,
                open_timeout=HANDSHAKE_TIMEOUT,
                close_timeout=1,
                server_header=None,
            )
            self._servers.append(server)

    async def stop(self) -> None:
        """Close all tunnels and stop serving."""
        for server in self._servers:
            server.close(close_connections=True)
        await self._machines.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                for server in self._servers:
                    await server.wait_closed()

    def open_connections(self) -> dict[str, int]:
        """How many connections each endpoint carries."""
        return {endpoint: count for endpoint, count in self._open.items() if count}

    async def _handshake(self, tunnel: ServerConnection, http_request: HttpRequest) -> Response | None:
        """Check the request; an answer refuses it."""
        request = parse(http_request.path, http_request.headers.get("Host", ""))
        request_id = trail.new_id()
        fault = self._state.take_fault(request.endpoint_id, request.address)
        caller: Known | None = None
        refusal: Refused | None = None
        try:
            if fault and await _shown_in_handshake(fault, tunnel):
                raise Refused(int(fault.parameters.get("status", 503)), "", "")
            caller = authenticate(self._verifier, request)
            admitted = admit(self._state, request, self._open[request.endpoint_id])
        except Refused as why:
            refusal = why
        self._record(tunnel, request, caller, request_id, refusal)
        if refusal:
            body = faults.body_of(fault) if fault and fault.kind == "refuse" else _error_body(refusal)
            extra = fault.parameters.get("headers", {}) if fault and fault.kind == "refuse" else {}
            return _response(refusal.status, body, request_id, extra)
        tunnel.admitted = admitted  # type: ignore[attr-defined]
        tunnel.fault = fault  # type: ignore[attr-defined]
        tunnel.request_id = request_id  # type: ignore[attr-defined]
        # Counted from here, so that connections that arrive together cannot pass the limit together.
        self._open[request.endpoint_id] += 1
        tunnel.transport_closed = tunnel.connection_lost_waiter  # type: ignore[attr-defined]
        tunnel.connection_lost_waiter.add_done_callback(lambda _: self._open.subtract([request.endpoint_id]))
        return None

    def _record(
        self, tunnel: ServerConnection, request: Request, caller: Known | None, request_id: str, refusal: Refused | None
    ) -> None:
        trail.record_tunnel(
            self._state,
            region=request.region,
            caller=caller,
            access_key_id=request.access_key_id,
            parameters=request.parameters,
            source_ip=self._client_ip(tunnel),
            request_id=request_id,
            error=(refusal.code, refusal.message) if refusal else None,
        )

    def _client_ip(self, tunnel: ServerConnection) -> str:
        return self._state.behaviour.client_ip or str(tunnel.remote_address[0])

    @staticmethod
    async def _answer(tunnel: ServerConnection, _request: HttpRequest, response: Response) -> None:
        if request_id := getattr(tunnel, "request_id", ""):
            response.headers["x-amzn-requestid"] = request_id

    async def _carry(self, tunnel: ServerConnection) -> None:
        admitted: Admitted = tunnel.admitted  # type: ignore[attr-defined]
        mischief = faults.Mischief(tunnel.fault, tunnel)  # type: ignore[attr-defined]
        streams: Streams | None = None
        with contextlib.suppress(ConnectionClosed, OSError):
            await mischief.at_start()
            streams = await self._connect(admitted, self._client_ip(tunnel))
            if streams is None:
                await asyncio.sleep(UNREACHABLE_DELAY)
                await tunnel.close(1011, UNREACHABLE)
                return
            await _first_of(
                _up(tunnel, streams[1], mischief),
                _down(streams[0], tunnel, mischief),
                _expire(tunnel, admitted.duration),
                mischief.by_time(),
            )
        if streams:
            streams[1].close()

    async def _connect(self, admitted: Admitted, client_ip: str) -> Streams | None:
        machine = self._state.machine(admitted.endpoint.vpc_id, admitted.address)
        if machine is None:
            return None
        if await asyncio.to_thread(blocked, admitted.endpoint, machine, admitted.port, client_ip):
            return None
        return await self._machines.connect(machine, admitted.port)


async def _up(tunnel: ServerConnection, target: asyncio.StreamWriter, mischief: faults.Mischief) -> None:
    """From the client to the target. There is no half-close: the client's end is the tunnel's."""
    if mischief.stalls("out"):
        await asyncio.Event().wait()
    async for message in tunnel:
        if isinstance(message, str):
            await tunnel.close(1003, "Only binary frames are accepted")
            return
        target.write(message)
        await target.drain()


async def _down(target: asyncio.StreamReader, tunnel: ServerConnection, mischief: faults.Mischief) -> None:
    """From the target to the client; the target's end is the tunnel's."""
    if mischief.stalls("in"):
        await asyncio.Event().wait()
    while data := await target.read(CHUNK):
        if not await mischief.send(data):
            return
    await tunnel.close(1000)


async def _expire(tunnel: ServerConnection, duration: int) -> None:
    """End the tunnel at its longest duration. With which code and reason the service does is not documented."""
    await asyncio.sleep(duration)
    await tunnel.close(1000, "Maximum tunnel duration reached")


async def _first_of(*works: Any) -> None:
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


async def _shown_in_handshake(fault: Fault, tunnel: ServerConnection) -> bool:
    """Show a fault of the handshake; return whether the request is refused by it."""
    stage = fault.parameters.get("stage", "handshake" if fault.kind == "delay" else "open")
    if fault.kind == "delay" and stage == "handshake":
        await asyncio.sleep(fault.parameters.get("seconds", 1))
    if fault.kind == "cut" and stage == "handshake":
        tunnel.transport.abort()
        return True
    return fault.kind == "refuse"


def _error_body(refusal: Refused) -> bytes:
    return json.dumps({"ErrorCode": refusal.code, "Message": refusal.message}).encode()


def _response(status: int, body: bytes, request_id: str, extra: dict[str, str]) -> Response:
    phrase = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""
    headers = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "x-amzn-requestid": request_id,
            "Connection": "close",
            **extra,
        }
    )
    return Response(status, phrase, headers, body)
