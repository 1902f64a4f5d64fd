"""The data plane: websockets in, connections to the machines out."""

from __future__ import annotations

import asyncio
import contextlib
import http
import ipaddress
import json
import logging
import re
import ssl
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from eicctl.emulator.control import cloudtrail
from eicctl.emulator.control.network import blocked, machine_at
from eicctl.emulator.control.permission import ApiCall, Permission
from eicctl.emulator.data import faults
from eicctl.emulator.data.faults import FaultInjector
from eicctl.emulator.data.sockets import ListeningSocket
from eicctl.emulator.machines import Machines, Streams
from eicctl.emulator.signature import TUNNEL_SERVICE, AccessKey, Rejected, Verifier
from eicctl.emulator.state import EndpointRecord, Fault, State

_log = logging.getLogger(__name__)

PORTS = ("22", "3389")
USABLE = ("create-complete", "update-in-progress", "update-complete", "update-failed")
MAX_DURATION = 3600

_PORT = re.compile(r":\d+$")
_BAD_PORT = "The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request."


@dataclass(frozen=True, slots=True)
class Admitted:
    """A tunnel that may be opened; `duration` in seconds."""

    endpoint: EndpointRecord
    address: str
    port: int
    duration: int


def authenticate(verifier: Verifier, url: SplitResult, host: str, ports: Sequence[int]) -> AccessKey:
    """Return the caller's access key.

    Args:
        verifier: Checks the signature.
        url: Path and query.
        host: The `Host` header.
        ports: Ports of the data plane: the AWS CLI signs for the DNS name with its port and sends its host alone.

    Raises:
        Rejected: It is not signed, or not well.
    """
    if url.path != "/openTunnel":
        raise Rejected("NotFound", "Nothing is at this path.", 404)
    error = None
    for signed_host in (host, *(f"{host}:{port}" for port in ports if not _PORT.search(host))):
        try:
            return verifier.verify_query(signed_host, url.path, url.query)
        except Rejected as rejected:
            error = rejected
            if error.code != "SignatureDoesNotMatch":
                break
    assert error  # noqa: S101 - one host at least was tried
    raise error


def admit(state: State, call: ApiCall, account: str, open_connections: int) -> Admitted:
    """Return the tunnel that an authenticated call may open.

    Of the errors, only that of a bad port is known (docs/explanation/protocol.md#data-plane); the others are inferred.

    Args:
        state: The emulator's memory.
        call: The call of OpenTunnel.
        account: The caller's account. That another one's endpoint does not exist for it is inferred.
        open_connections: The endpoint's open connections.

    Raises:
        Rejected: It may not be opened.
    """
    given = call.parameters
    endpoint_id, text = given.get("instanceConnectEndpointId", ""), given.get("privateIpAddress", "")
    endpoint = state.endpoint(endpoint_id)
    if endpoint is None or (endpoint.region, endpoint.owner_id) != (call.region, account):
        raise Rejected("ResourceNotFoundException", f"The endpoint {endpoint_id} does not exist.", 404)
    if endpoint.state not in USABLE:
        raise Rejected("InvalidStateException", f"The endpoint {endpoint.id} is in state {endpoint.state}.", 400)
    if named := state.find_machine(endpoint.vpc_id, text):  # inferred: names are resolved inside the VPC
        text = named.address
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Rejected("InvalidParameter", "The specified PrivateIpAddress is not valid.", 400) from None
    if (address.version == 6) != (endpoint.ip_address_type == "ipv6") and endpoint.ip_address_type != "dualstack":
        message = f"The endpoint is of type {endpoint.ip_address_type} and cannot reach {address}."
        raise Rejected("InvalidParameter", message, 400)
    port = given.get("remotePort", "")
    if port not in PORTS:
        raise Rejected("InvalidParameter", _BAD_PORT, 400)
    duration = given.get("maxTunnelDuration", str(MAX_DURATION))
    if not duration.isdigit() or not 1 <= int(duration) <= MAX_DURATION:
        raise Rejected("InvalidParameter", "The specified MaxTunnelDuration is not valid.", 400)
    if open_connections >= state.behavior.max_connections:
        raise Rejected("ThrottlingException", f"The endpoint {endpoint.id} has reached its connection limit.", 429)
    return Admitted(endpoint, str(address), int(port), int(duration))


UNREACHABLE = "Unable to connect to target"

UNREACHABLE_DELAY = 0.1
"""Seconds until an unreachable target is reported; the real service waits for a TCP timeout."""

HANDSHAKE_TIMEOUT = 60
"""Seconds that a client may take for the handshake; longer than the delay of any fault."""

LARGEST_FRAME = 2**20
"""Bytes that a client may send in a frame; 16 times what the AWS CLI does. The service's limit is not known."""

STOP_TIMEOUT = 0.5
"""Seconds for connections to end when the emulator does."""


class Tunnel(ServerConnection):
    """A client's connection, with what becomes known of it in the handshake."""

    admitted: Admitted
    opened_at: datetime
    fault: Fault | None = None
    request_id: str = ""
    counts: ByteCounts

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
        self._relaying: set[asyncio.Task[Any]] = set()
        self._servers: list[Server] = []
        self._listeners: Sequence[ListeningSocket] = ()
        self._ports: Sequence[int] = ()

    async def start(self, sockets: Sequence[ListeningSocket], context: ssl.SSLContext) -> None:
        """Serve on listening sockets."""
        self._listeners = sockets
        self._ports = sorted({int(sock.getsockname()[1]) for sock in sockets})
        for sock in sockets:
            # create_connection sets the connections' class, which serve()'s types cannot express.
            server = await serve(
                self._relay,  # type: ignore[arg-type]
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
        for task in self._relaying:
            task.cancel()
        await self._machines.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                for server in self._servers:
                    await server.wait_closed()
        for listener in self._listeners:
            await listener.hang_up(STOP_TIMEOUT)

    def open_connections(self) -> dict[str, int]:
        """The number of open connections of each endpoint."""
        return {endpoint: count for endpoint, count in self._open.items() if count}

    def open_tunnels(self) -> list[dict[str, Any]]:
        """Every open tunnel: its target, and how many bytes it has relayed."""
        return [
            {
                "endpoint_id": tunnel.admitted.endpoint.id,
                "address": tunnel.admitted.address,
                "port": tunnel.admitted.port,
                "client_ip": self._client_ip(tunnel),
                "request_id": tunnel.request_id,
                "host": tunnel.request.headers.get("Host", "") if tunnel.request else "",
                "opened_at": tunnel.opened_at.isoformat(),
                **asdict(tunnel.counts),
            }
            for tunnel in list(self._tunnels)
        ]

    async def _handshake(self, tunnel: Tunnel, request: HttpRequest) -> Response | None:
        """Check the request; an answer refuses it."""
        url, host = urlsplit(request.path), request.headers.get("Host", "")
        given = dict(parse_qsl(url.query, keep_blank_values=True))
        key_id, _, region, *_ = [*given.get("X-Amz-Credential", "").split("/"), "", "", ""]
        user_agent = request.headers.get("User-Agent", "")
        call = ApiCall(TUNNEL_SERVICE, region, "OpenTunnel", given, tunnel.peer, user_agent)
        endpoint_id, address = given.get("instanceConnectEndpointId", ""), given.get("privateIpAddress", "")
        tunnel.request_id = cloudtrail.new_id()
        tunnel.fault = self._state.take_fault(endpoint_id, address, faults.AFTER_TLS)
        await FaultInjector(tunnel.fault, tunnel).in_handshake()
        caller: AccessKey | None = None
        refusal: Rejected | None = None
        try:
            if isinstance(tunnel.fault, faults.Refuse):
                raise Rejected("", "", tunnel.fault.status)
            caller = authenticate(self._verifier, url, host, self._ports)
            if denial := await asyncio.to_thread(self._permission.denial, caller, call):
                raise denial
            tunnel.admitted = admit(self._state, call, caller.account, self._open[endpoint_id])
        except Rejected as error:
            refusal = error
        outcome = f"refused, {refusal.status} {refusal.code}" if refusal else "open"
        port = given.get("remotePort", "-")
        _log.info("openTunnel %s %s port %s: %s", endpoint_id or "-", address or "-", port, outcome)
        cloudtrail.record_call(
            self._state,
            call,
            caller,
            error=(refusal.code, refusal.message) if refusal else None,
            access_key_id=key_id,
            request_id=tunnel.request_id,
        )
        if refusal:
            return _response(refusal, tunnel)
        self._count(tunnel)
        return None

    def _count(self, tunnel: Tunnel) -> None:
        """Count a tunnel from its handshake on: those that arrive together must not pass the limit together."""
        endpoint_id = tunnel.admitted.endpoint.id
        tunnel.opened_at = self._state.now()
        tunnel.counts = ByteCounts()
        self._open[endpoint_id] += 1
        self._tunnels.add(tunnel)

        def forget(_: object) -> None:
            self._open[endpoint_id] -= 1
            self._tunnels.discard(tunnel)

        tunnel.connection_lost_waiter.add_done_callback(forget)

    def _client_ip(self, tunnel: Tunnel) -> str:
        return self._state.behavior.client_ip or tunnel.peer

    async def _answer(self, tunnel: Tunnel, _request: HttpRequest, response: Response) -> None:
        if tunnel.request_id and "x-amzn-requestid" not in response.headers:
            response.headers["x-amzn-requestid"] = tunnel.request_id
        if not isinstance(tunnel.fault, faults.Refuse):
            with contextlib.suppress(KeyError):
                del response.headers["Date"]
            response.headers["Date"] = format_datetime(self._state.now(), usegmt=True)

    async def _relay(self, tunnel: Tunnel) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine runs in one
        self._relaying.add(task)
        try:
            with contextlib.suppress(ConnectionClosed, OSError):
                injector = FaultInjector(tunnel.fault, tunnel)
                await injector.at_start()
                if streams := await self._connect(tunnel.admitted, self._client_ip(tunnel)):
                    await Relay(tunnel, injector, tunnel.counts).run(*streams, tunnel.admitted.duration)
                else:
                    await asyncio.sleep(UNREACHABLE_DELAY)
                    await tunnel.close(1011, UNREACHABLE)
        finally:
            self._relaying.discard(task)

    async def _connect(self, admitted: Admitted, client_ip: str) -> Streams | None:
        machine = await asyncio.to_thread(machine_at, self._state, admitted.endpoint, admitted.address)
        if machine is None:
            _log.info("%s has no route to a machine at %s", admitted.endpoint.subnet_id, admitted.address)
            return None
        if machine.instance_id and self._state.boot_stage(machine.instance_id) != "up":
            _log.info("%s is still booting", admitted.address)
            return None
        if reason := await asyncio.to_thread(blocked, admitted.endpoint, machine, admitted.port, client_ip):
            _log.info("%s port %d cannot be reached: %s", admitted.address, admitted.port, reason)
            return None
        streams = await self._machines.connect(machine, admitted.port)
        if streams is None:
            _log.info("%s: port %d does not answer", admitted.address, admitted.port)
        return streams


def _response(refusal: Rejected, tunnel: Tunnel) -> Response:
    """The response to a refused request: the service's JSON body, or what a fault specifies."""
    body = json.dumps({"ErrorCode": refusal.code, "Message": refusal.message}).encode()
    extra: dict[str, str] = {}
    if isinstance(tunnel.fault, faults.Refuse):
        body, extra = tunnel.fault.content, tunnel.fault.headers
    known = {status.value: status.phrase for status in http.HTTPStatus}
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    for name, value in {"x-amzn-requestid": tunnel.request_id, **extra}.items():
        if name in headers:
            del headers[name]
        headers[name] = str(value)
    return Response(refusal.status, known.get(refusal.status, ""), headers, body)


CHUNK = 65000
"""Maximum bytes in a frame, as in the AWS CLI (docs/explanation/protocol.md#data-plane)."""

DELIVERY = 60.0
"""Seconds for a client to take what its target has sent before it ended."""

LINGER = 5.0
"""Seconds for a target to take what a disconnected client has sent."""


@dataclass(slots=True)
class ByteCounts:
    """How many bytes a tunnel has relayed."""

    to_target: int = 0
    from_target: int = 0


class Relay:
    """Relays the bytes of one tunnel. Memory is bounded: a side that does not read stops the other's writing.

    Args:
        tunnel: The websocket.
        injector: The fault that it shows.
        counts: Updated as bytes are relayed.
    """

    def __init__(self, tunnel: ServerConnection, injector: FaultInjector, counts: ByteCounts) -> None:
        self._tunnel = tunnel
        self._injector = injector
        self._counts = counts

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, duration: float) -> None:
        """Relay until one side ends, or for `duration` seconds; then close the target's connection."""
        try:
            with contextlib.suppress(ConnectionClosed, OSError):
                await _first_of(
                    self._up(writer),
                    self._down(reader),
                    self._expire(duration),
                    self._injector.by_time(),
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
        """From the client to the target. Tunnels have no half-close: the client's end is the tunnel's."""
        if self._injector.stalls("out"):
            await asyncio.Event().wait()
        async for message in self._tunnel:
            if isinstance(message, str):
                await self._tunnel.close(1003, "Only binary frames are accepted")
                return
            target.write(message)
            await target.drain()
            self._counts.to_target += len(message)

    async def _down(self, target: asyncio.StreamReader) -> None:
        """From the target to the client; the target's end is the tunnel's."""
        if self._injector.stalls("in"):
            await asyncio.Event().wait()
        try:
            while data := await target.read(CHUNK):
                if not await self._injector.send(data):
                    return
                self._counts.from_target += len(data)
        except ConnectionClosed:
            # What the client sent before it disconnected is still on its way: the target must not block in writing.
            while await target.read(CHUNK):
                pass
        else:
            self._tunnel.close_timeout = DELIVERY  # after it the connection is reset, and data in flight is lost
            await self._tunnel.close(1000)

    async def _expire(self, duration: float) -> None:
        """End the tunnel at its maximum duration. The service's close code and reason are not documented."""
        await asyncio.sleep(duration)
        await self._tunnel.close(1000, "Maximum tunnel duration reached")

    async def _client_gone(self) -> None:
        """Return some time after the client disconnected, in which the target takes the rest."""
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
