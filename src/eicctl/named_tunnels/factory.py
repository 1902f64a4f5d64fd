"""From a definition to an open tunnel: names are looked up, and sockets bound. It blocks.

Then each connection is a tunnel of its own, or all are on one SSH connection."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Protocol, cast

from eicctl.core.errors import EicctlError, SilentTargetError, UsageError
from eicctl.core.events import Emit, TunnelEvent
from eicctl.core.model import DIRECT_DATABASE_PORT, RDP_PORT, SSH_PORT, Target, Traffic
from eicctl.core.request import ConnectRequest
from eicctl.named_tunnels.config_file import Definition
from eicctl.ssh.forward.forwarder import Forward, Forwarder
from eicctl.ssh.forward.renewal import Rotation
from eicctl.support.threads import in_thread
from eicctl.tunnel.bind import bind_unix, bind_wanted, loopback_only
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.listener import Listener
from eicctl.tunnel.peer_uid import NotLetInError
from eicctl.tunnel.probe import probe
from eicctl.tunnel.relay import Linger

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.ssh.forward.renewal import Rotation
    from eicctl.ssh.host_keys import Check

LOOKED_UP_EVERY = 10.0
"""Seconds between two look-ups of a target whose connections fail: it may have another address now."""


class Health(Protocol):
    """Is told how an open tunnel is doing, on the loop's thread."""

    def emit(self, event: TunnelEvent) -> None:
        """Something for the tunnel's log. Called in any thread."""

    def worked(self) -> None:
        """A connection has carried something."""

    def failed(self, error: EicctlError) -> None:
        """A connection could not be carried, or the SSH connection is lost."""


class Opened(Protocol):
    """Listening sockets, and what carries their connections."""

    @property
    def sockets(self) -> Sequence[socket]:
        """Where it listens."""

    @property
    def remote(self) -> str:
        """Where connections go, in words."""

    @property
    def via(self) -> str:
        """The endpoint or the instance that they go through."""

    @property
    def traffic(self) -> Traffic:
        """What it carries. Read while it is served, on the loop's thread."""

    async def start(self) -> None:
        """Prove that connections can be made.

        Raises:
            EicctlError: They cannot.
        """

    async def serve(self, stop: asyncio.Event) -> None:
        """Carry connections until `stop` is set; then close everything."""

    def discard(self) -> None:
        """Close what was never served."""


class Straight:
    """Each connection is a tunnel of its own.

    Args:
        dialer: Opens the tunnels.
        sockets: Listening sockets.
        remote: Where connections go, in words.
        health: Is told how it goes.
        look_up: Returns where the target is now; blocks.
        cleanup: Called at the end.
        linger: See `Definition`.
    """

    def __init__(
        self,
        dialer: Dialer,
        sockets: Sequence[socket],
        remote: str,
        health: Health,
        *,
        look_up: Callable[[], Target],
        cleanup: Callable[[], None],
        linger: float | None = None,
    ) -> None:
        self.sockets = sockets
        self.remote = remote
        self._dialer = dialer
        self._health = health
        self._look_up = look_up
        self._cleanup = cleanup
        self._doubtful = asyncio.Event()
        self._listener = Listener(dialer, sockets, self._emit, linger=Linger.of(linger))

    @property
    def via(self) -> str:
        return self._dialer.target.endpoint_id

    @property
    def traffic(self) -> Traffic:
        return self._listener.traffic

    async def start(self) -> None:
        await in_thread(lambda: probe(self._dialer))

    async def serve(self, stop: asyncio.Event) -> None:
        following = asyncio.create_task(self._follow())
        try:
            await self._listener.serve(stop)
        finally:
            following.cancel()
            self._cleanup()

    def discard(self) -> None:
        for sock in self.sockets:
            sock.close()
        self._cleanup()

    def _emit(self, event: TunnelEvent) -> None:
        self._health.emit(event)
        error, info = event.error, event.close_info
        if event.kind == "failed" and error and not isinstance(error, NotLetInError):
            self._trouble(error)
        # An endpoint accepts a connection before it knows whether the target does. A client that has waited for an
        # answer in vain says nothing of the tunnel.
        elif info and info.error and not info.bytes_in and not isinstance(info.error, SilentTargetError):
            self._trouble(info.error)
        elif info:
            self._health.worked()

    def _trouble(self, error: EicctlError) -> None:
        self._doubtful.set()
        self._health.failed(error)

    async def _follow(self) -> None:
        """Look the target up again when connections fail: an instance that was replaced has another address."""
        while True:
            await self._doubtful.wait()
            with contextlib.suppress(EicctlError):
                target = await in_thread(self._look_up)
                if target != self._dialer.target:
                    moved = f"the target is at {target.address} now, through {target.endpoint_id}"
                    self._health.emit(TunnelEvent("note", text=moved))
                    self._dialer.target = target
            await asyncio.sleep(LOOKED_UP_EVERY)
            self._doubtful.clear()


class Through:
    """All connections are on one SSH connection to an instance, which is renewed.

    Args:
        rotation: The SSH connections.
        forwards: What is forwarded by them.
        remote: Where connections go, in words.
        emit: Takes what happens.
        cleanup: Called at the end.
    """

    def __init__(
        self,
        rotation: Rotation,
        forwards: Sequence[Forward],
        remote: str,
        emit: Emit,
        *,
        cleanup: Callable[[], None],
    ) -> None:
        self.sockets = [sock for forward in forwards for sock in forward.sockets]
        self.remote = remote
        self._rotation = rotation
        self._cleanup = cleanup
        self._forwarder = Forwarder(forwards, emit)

    @property
    def via(self) -> str:
        return self._rotation.label

    @property
    def traffic(self) -> Traffic:
        return self._forwarder.traffic

    async def start(self) -> None:
        await self._rotation.start()

    async def serve(self, stop: asyncio.Event) -> None:
        try:
            await self._forwarder.serve(stop)
        finally:
            self._cleanup()

    def discard(self) -> None:
        for sock in self.sockets:
            sock.close()
        self._cleanup()


def forwarded(health: Health, *, clients_choose: bool = False) -> Emit:
    """Return what takes the events of a forwarder and its SSH connection.

    Args:
        health: Is told how it goes.
        clients_choose: Whether each client chooses its destination (SOCKS): a failed connect does not mark the tunnel
            unhealthy then.
    """

    def emit(event: TunnelEvent) -> None:
        health.emit(event)
        if event.kind == "lost":
            health.failed(EicctlError(f"the SSH connection to {event.via} is lost: {event.text}"))
        elif event.kind == "recovered" or (event.close_info and not event.close_info.error):
            health.worked()
        elif event.error and not (event.connection and (clients_choose or isinstance(event.error, NotLetInError))):
            health.failed(event.error)

    return emit


def seconds_left(traffic: Traffic) -> float | None:
    """Return the seconds until the first tunnel in use ends."""
    return None if traffic.ends is None else max(0.0, traffic.ends - time.monotonic())


SOCKS_PORT = 1080
"""The usual port of a SOCKS proxy (RFC 1928, section 3)."""

LOCAL_RDP_PORT = 13389
"""The usual local port for RDP here: 3389 is taken where this machine serves RDP itself."""


@dataclass
class Opening:
    """Opens one definition.

    Attributes:
        definition: What to open.
        session: Access to AWS.
        health: Is told how it goes.
        last_port: The free local port that it had before, which is taken again if it can be; 0 for none.
    """

    definition: Definition
    session: Session
    health: Health
    last_port: int = 0
    _paths: list[Path] = field(default_factory=list, init=False)

    def open(self) -> Opened:
        """Return the tunnel, which listens, but carries nothing yet.

        Raises:
            EicctlError: It cannot be opened now.
        """
        ways: dict[str, Callable[[contextlib.ExitStack], Opened]] = {
            "direct": self._direct,
            "rdp": self._direct,
            "via": self._via,
            "socks": self._socks,
            "db": self._database,
        }
        with contextlib.ExitStack() as undo:
            undo.callback(self._unlink)
            opened = ways[self.definition.kind](undo)
            if not loopback_only(opened.sockets):
                self._note(f"warning: listening on {self.definition.bind}: whoever reaches it can connect")
            undo.pop_all()
        return opened

    def _direct(self, undo: contextlib.ExitStack) -> Opened:
        from eicctl.aws.targets import resolve

        said = self.definition
        port = RDP_PORT if said.kind == "rdp" else said.remote_port
        # Bound first: a busy port is told at once, and not after AWS was asked.
        if said.local_socket:
            sockets = self._bind_path(Path(said.local_socket))
        else:
            sockets = self._bind(LOCAL_RDP_PORT if said.kind == "rdp" else 0)
        _closing(undo, sockets)
        request = ConnectRequest(
            remote_port=port,
            target=said.target,
            private_ip_address=said.private_ip_address,
            endpoint_id=said.instance_connect_endpoint_id,
        )

        def look_up() -> Target:
            return resolve(self.session, request)

        return self._straight(sockets, look_up)

    def _straight(self, sockets: Sequence[socket], look_up: Callable[[], Target]) -> Opened:
        from eicctl.api.targets import dialer_to

        said = self.definition
        target = look_up()
        label = f"{target.label} port {target.remote_port}"
        request = ConnectRequest(max_tunnel_duration=said.max_tunnel_duration)
        dialer = dialer_to(self.session, target, request, look_up=look_up)
        return Straight(dialer, sockets, label, self.health, look_up=look_up, cleanup=self._unlink, linger=said.linger)

    def _via(self, undo: contextlib.ExitStack) -> Opened:
        from eicctl.ssh.arguments import parse_forward
        from eicctl.ssh.forward.connection import Remote
        from eicctl.ssh.forward.forwarder import Forward

        specs = [parse_forward(words) for words in self.definition.forward]
        bound = []
        for spec in specs:
            if spec.local_path:
                sockets = self._bind_path(Path(self.definition.source).parent / spec.local_path)
            else:
                sockets = bind_wanted(spec.local_port, spec.port, self.definition.bind or None, self._note)
            _closing(undo, sockets)
            remote = Remote(path=spec.remote_path) if spec.remote_path else Remote(spec.host or "localhost", spec.port)
            bound.append((sockets, remote))
        rotation, emit = self._rotation(self.definition.via)
        forwards = [Forward(tuple(sockets), rotation, remote) for sockets, remote in bound]
        where = ", ".join(str(remote) for _, remote in bound)
        return Through(rotation, forwards, where, emit, cleanup=self._unlink)

    def _socks(self, undo: contextlib.ExitStack) -> Opened:
        from eicctl.ssh.forward.forwarder import Forward

        sockets = self._bind(SOCKS_PORT)
        _closing(undo, sockets)
        rotation, emit = self._rotation(self.definition.via)
        return Through(rotation, [Forward(tuple(sockets), rotation, None)], "SOCKS5", emit, cleanup=self._unlink)

    def _database(self, undo: contextlib.ExitStack) -> Opened:
        from eicctl.aws.databases import direct_target, reader_of
        from eicctl.reachability.jump_host import instance_for, locate
        from eicctl.ssh.forward.connection import Remote
        from eicctl.ssh.forward.forwarder import Forward

        said = self.definition
        found, host, port = locate(self.session, said.database)
        if said.reader:
            if found is None:
                raise UsageError(f"RDS does not know {said.database}, so it has no reader")
            host = reader_of(found)
        sockets = self._bind(port)
        _closing(undo, sockets)
        if found and port == DIRECT_DATABASE_PORT and not said.via:
            database = found
            return self._straight(
                sockets,
                lambda: direct_target(self.session, database, host, endpoint_id=said.instance_connect_endpoint_id),
            )
        words = said.via
        if not words:
            way = instance_for(self.session, found, port)
            self._note(f"going through {way.instance.name or way.instance.id}: {way.reason}")
            words = way.instance.id
        rotation, emit = self._rotation(words)
        remote = Remote(host, port)
        forwards = [Forward(tuple(sockets), rotation, remote)]
        return Through(rotation, forwards, str(remote), emit, cleanup=self._unlink)

    def _bind(self, wanted: int) -> list[socket]:
        port = self.definition.local_port
        usual = 0 if port == 0 else wanted
        return bind_wanted(port or None, self.last_port or usual, self.definition.bind or None, self._note)

    def _bind_path(self, path: Path) -> list[socket]:
        sock = bind_unix(path)
        self._paths.append(path)
        return [sock]

    def _note(self, text: str) -> None:
        self.health.emit(TunnelEvent("note", text=text))

    def _unlink(self) -> None:
        """Remove the Unix sockets."""
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _rotation(self, words: str) -> tuple[Rotation, Emit]:
        from eicctl.api.forwards import rotation_to
        from eicctl.aws.targets import resolve
        from eicctl.ssh.host_keys import configured_check

        said = self.definition
        request = ConnectRequest(
            remote_port=SSH_PORT,
            target=words,
            endpoint_id=said.instance_connect_endpoint_id,
            max_tunnel_duration=said.max_tunnel_duration,
            os_user=said.os_user,
            private_key_file=said.private_key_file,
            host_key_check=cast("Check", said.host_key_check) if said.host_key_check else configured_check(),
        )
        emit = forwarded(self.health, clients_choose=said.kind == "socks")
        return rotation_to(self.session, resolve(self.session, request), request, emit), emit


def _closing(undo: contextlib.ExitStack, sockets: Sequence[socket]) -> None:
    for sock in sockets:
        undo.callback(sock.close)
