"""The data plane: websockets in, connections to the machines out."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from eicctl.emulator import faults
from eicctl.emulator.control import trail
from eicctl.emulator.control.credentials import Known
from eicctl.emulator.control.network import blocked, machine_at
from eicctl.emulator.control.permission import Origin, Permission
from eicctl.emulator.data.admission import Admitted, Refused, Request, admit, authenticate, parse
from eicctl.emulator.data.fault_injector import Mischief
from eicctl.emulator.data.relay import Carried, Carrier
from eicctl.emulator.data.sockets import Doorway
from eicctl.emulator.machines.services import Machines, Streams
from eicctl.emulator.signature import Verifier
from eicctl.emulator.state import Fault, State

UNREACHABLE = "Unable to connect to target"

UNREACHABLE_DELAY = 0.1
"""Seconds until an unreachable target is said to be so; the real service takes a TCP time-out."""

HANDSHAKE_TIMEOUT = 60
"""Seconds until a client that does not finish the handshake is left; longer than any delay that a fault may ask for."""

LARGEST_FRAME = 2**20
"""Bytes that a client may send in a frame; 16 times what the AWS CLI does. The service's limit is not known."""

STOP_TIMEOUT = 0.5
"""Seconds for connections to end when the emulator does."""

_log = logging.getLogger(__name__)


class Tunnel(ServerConnection):
    """A client's connection, with what becomes known of it in the handshake."""

    admitted: Admitted
    opened_at: datetime
    fault: Fault | None = None
    request_id: str = ""
    carried: Carried

    @property
    def peer(self) -> str:
        """The client's address."""
        return str(self.remote_address[0])


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
        self._permission = Permission(state)
        self._open: Counter[str] = Counter()
        self._tunnels: set[Tunnel] = set()
        self._carrying: set[asyncio.Task[Any]] = set()
        self._servers: list[Server] = []
        self._doorways: Sequence[Doorway] = ()
        self._ports: Sequence[int] = ()

    async def start(self, sockets: Sequence[Doorway], context: ssl.SSLContext) -> None:
        """Serve on listening sockets."""
        self._doorways = sockets
        self._ports = sorted({int(sock.getsockname()[1]) for sock in sockets})
        for sock in sockets:
            # create_connection says of which class the connections are, which serve()'s types cannot express.
            server = await serve(
                self._carry,  # type: ignore[arg-type]
                sock=sock,
                ssl=context,
                create_connection=Tunnel,
                process_request=self._handshake,  # type: ignore[arg-type]
                process_response=self._answer,  # type: ignore[arg-type]
                compression=None,
                max_size=LARGEST_FRAME,
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
        for task in self._carrying:
            task.cancel()
        await self._machines.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                for server in self._servers:
                    await server.wait_closed()
        for doorway in self._doorways:
            await doorway.hang_up(STOP_TIMEOUT)

    def open_connections(self) -> dict[str, int]:
        """How many connections each endpoint carries."""
        return {endpoint: count for endpoint, count in self._open.items() if count}

    def open_tunnels(self) -> list[dict[str, Any]]:
        """Every open tunnel: where it leads, and how many bytes it has carried."""
        return [
            {
                "endpoint_id": tunnel.admitted.endpoint.id,
                "address": tunnel.admitted.address,
                "port": tunnel.admitted.port,
                "client_ip": self._client_ip(tunnel),
                "request_id": tunnel.request_id,
                "host": tunnel.request.headers.get("Host", "") if tunnel.request else "",
                "opened_at": tunnel.opened_at.isoformat(),
                **asdict(tunnel.carried),
            }
            for tunnel in list(self._tunnels)
        ]

    async def _handshake(self, tunnel: Tunnel, http_request: HttpRequest) -> Response | None:
        """Check the request; an answer refuses it."""
        request = parse(http_request.path, http_request.headers.get("Host", ""))
        tunnel.request_id = trail.new_id()
        tunnel.fault = self._state.take_fault(request.endpoint_id, request.address, faults.AFTER_TLS)
        await Mischief(tunnel.fault, tunnel).in_handshake()
        caller: Known | None = None
        try:
            if tunnel.fault and tunnel.fault.kind == "refuse":
                raise Refused(int(tunnel.fault.parameters.get("status", 503)), "", "")
            caller = authenticate(self._verifier, request, self._ports)
            await self._authorize(caller, request, Origin(self._client_ip(tunnel), _user_agent(http_request)))
            tunnel.admitted = admit(self._state, request, self._open[request.endpoint_id])
        except Refused as refusal:
            self._record(tunnel, http_request, request, caller, refusal)
            return _response(refusal, tunnel)
        self._record(tunnel, http_request, request, caller, None)
        self._count(tunnel)
        return None

    async def _authorize(self, caller: Known, request: Request, origin: Origin) -> None:
        """Refuse what the caller's policies do not allow (docs/explanation/protocol.md#iam)."""
        ask = self._permission.tunnel_denial
        if why := await asyncio.to_thread(ask, caller, request.region, request.parameters, origin):
            raise Refused(403, "AccessDeniedException", why)

    def _count(self, tunnel: Tunnel) -> None:
        """Count a tunnel from its handshake on: those that arrive together must not pass the limit together."""
        endpoint_id = tunnel.admitted.endpoint.id
        tunnel.opened_at = self._state.now()
        tunnel.carried = Carried()
        self._open[endpoint_id] += 1
        self._tunnels.add(tunnel)

        def forget(_: object) -> None:
            self._open[endpoint_id] -= 1
            self._tunnels.discard(tunnel)

        tunnel.connection_lost_waiter.add_done_callback(forget)

    def _record(
        self, tunnel: Tunnel, http_request: HttpRequest, request: Request, caller: Known | None, refusal: Refused | None
    ) -> None:
        _log.info(
            "openTunnel %s %s port %s: %s",
            request.endpoint_id or "-",
            request.address or "-",
            request.parameters.get("remotePort", "-"),
            f"refused, {refusal.status} {refusal.code}" if refusal else "open",
        )
        trail.record_tunnel(
            self._state,
            region=request.region,
            caller=caller,
            access_key_id=request.access_key_id,
            parameters=request.parameters,
            source_ip=self._client_ip(tunnel),
            user_agent=_user_agent(http_request),
            request_id=tunnel.request_id,
            error=(refusal.code, refusal.message) if refusal else None,
        )

    def _client_ip(self, tunnel: Tunnel) -> str:
        return self._state.behaviour.client_ip or tunnel.peer

    async def _answer(self, tunnel: Tunnel, _request: HttpRequest, response: Response) -> None:
        if tunnel.request_id:
            response.headers["x-amzn-requestid"] = tunnel.request_id
        if not (tunnel.fault and tunnel.fault.kind == "refuse"):
            with contextlib.suppress(KeyError):
                del response.headers["Date"]
            response.headers["Date"] = format_datetime(self._state.now(), usegmt=True)

    async def _carry(self, tunnel: Tunnel) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine runs in one
        self._carrying.add(task)
        try:
            with contextlib.suppress(ConnectionClosed, OSError):
                mischief = Mischief(tunnel.fault, tunnel)
                await mischief.at_start()
                if streams := await self._connect(tunnel.admitted, self._client_ip(tunnel)):
                    await Carrier(tunnel, mischief, tunnel.carried).run(*streams, tunnel.admitted.duration)
                else:
                    await asyncio.sleep(UNREACHABLE_DELAY)
                    await tunnel.close(1011, UNREACHABLE)
        finally:
            self._carrying.discard(task)

    async def _connect(self, admitted: Admitted, client_ip: str) -> Streams | None:
        machine = await asyncio.to_thread(machine_at, self._state, admitted.endpoint, admitted.address)
        if machine is None:
            _log.info("no route from %s leads to a machine at %s", admitted.endpoint.subnet_id, admitted.address)
            return None
        if machine.instance_id and self._state.boot_stage(machine.instance_id) != "up":
            _log.info("%s boots, and does not answer yet", admitted.address)
            return None
        if why := await asyncio.to_thread(blocked, admitted.endpoint, machine, admitted.port, client_ip):
            _log.info("%s port %d cannot be reached: %s", admitted.address, admitted.port, why)
            return None
        streams = await self._machines.connect(machine, admitted.port)
        if streams is None:
            _log.info("%s: nothing answers at port %d", admitted.address, admitted.port)
        return streams


def _user_agent(request: HttpRequest) -> str:
    return request.headers.get("User-Agent", "")


def _response(refusal: Refused, tunnel: Tunnel) -> Response:
    """The answer that refuses: the service's JSON body, or what a fault says."""
    body = json.dumps({"ErrorCode": refusal.code, "Message": refusal.message}).encode()
    extra: dict[str, str] = {}
    if tunnel.fault and tunnel.fault.kind == "refuse":
        body, extra = faults.body_of(tunnel.fault), tunnel.fault.parameters.get("headers", {})
    known = {status.value: status.phrase for status in http.HTTPStatus}
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    for name, value in {"x-amzn-requestid": tunnel.request_id, **extra}.items():
        if name in headers:
            del headers[name]
        headers[name] = str(value)
    return Response(refusal.status, known.get(refusal.status, ""), headers, body)
