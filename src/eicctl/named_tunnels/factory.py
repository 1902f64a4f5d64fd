"""From a definition to an open tunnel: names are looked up, and sockets bound. It blocks.

Then each connection is a tunnel of its own, or all are on one SSH connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Protocol

from eicctl.core.errors import EicctlError, SilentTargetError, UsageError
from eicctl.core.events import TunnelEvent
from eicctl.core.model import DIRECT_DATABASE_PORT, RDP_PORT, SSH_PORT, Target, Traffic
from eicctl.named_tunnels.config_file import Definition
from eicctl.ssh.forward.connection import Remote
from eicctl.ssh.forward.forwarder import Forward, Forwarder
from eicctl.support import defaults
from eicctl.support.bind import bind_unix, bind_wanted, loopback_only
from eicctl.support.threads import in_thread
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.listener import Listener
from eicctl.tunnel.peer_uid import NotAllowedError
from eicctl.tunnel.probe import probe
from eicctl.tunnel.relay import Linger

if TYPE_CHECKING:
    from eicctl.aws.session import Session

LOOKED_UP_EVERY = 10.0
"""Seconds between two look-ups of a target whose connections fail: it may have another address now."""

SOCKS_PORT = 1080
"""The usual port of a SOCKS proxy (RFC 1928, section 3)."""

LOCAL_RDP_PORT = 13389
"""The usual local port for RDP here: 3389 is taken where this machine serves RDP itself."""


class Health(Protocol):
    """Learns how an open tunnel is doing, on the loop's thread."""

    def emit(self, event: TunnelEvent) -> None:
        """Something for the tunnel's log. Called in any thread."""

    def worked(self) -> None:
        """A connection has relayed something."""

    def failed(self, error: EicctlError) -> None:
        """A connection could not be relayed, or the SSH connection is lost."""


@dataclass(kw_only=True)
class Opened:
    """Listening sockets, and what relays their connections. Used on the loop's thread.

    Attributes:
        sockets: Where it listens.
        remote: Where connections go, as text.
        via: Returns the endpoint or the instance that they go through.
        server: Relays connections.
        start: Proves that connections can be made; raises if they cannot.
        cleanup: Called at the end.
    """

    sockets: Sequence[socket]
    remote: str
    via: Callable[[], str]
    server: Direct | Forwarder
    start: Callable[[], Awaitable[None]]
    cleanup: Callable[[], None]

    async def serve(self, stop: asyncio.Event) -> None:
        """Relay connections until `stop` is set; then close everything."""
        try:
            await self.server.serve(stop)
        finally:
            self.cleanup()

    def discard(self) -> None:
        """Close what was never served."""
        for sock in self.sockets:
            sock.close()
        self.cleanup()


class Direct:
    """Each connection is a tunnel of its own.

    Args:
        dialer: Opens the tunnels.
        sockets: Listening sockets.
        health: Learns how it goes.
        look_up: Returns where the target is now; blocks.
        linger: See `ConnectRequest`.
    """

    def __init__(
        self,
        dialer: Dialer,
        sockets: Sequence[socket],
        health: Health,
        look_up: Callable[[], Target],
        linger: float | None,
    ) -> None:
        self._dialer = dialer
        self._health = health
        self._look_up = look_up
        self._doubtful = asyncio.Event()
        self._listener = Listener(dialer, sockets, self._emit, linger=Linger.of(linger))

    @property
    def traffic(self) -> Traffic:
        """What it relays."""
        return self._listener.traffic

    async def start(self) -> None:
        """Prove that the endpoint accepts a tunnel."""
        await in_thread(lambda: probe(self._dialer))

    async def serve(self, stop: asyncio.Event) -> None:
        """Relay connections until `stop` is set; then close everything."""
        following = asyncio.create_task(self._follow())
        try:
            await self._listener.serve(stop)
        finally:
            following.cancel()

    def via(self) -> str:
        """Return the endpoint."""
        return self._dialer.target.endpoint_id

    def _emit(self, event: TunnelEvent) -> None:
        self._health.emit(event)
        error, info = event.error, event.close_info
        if event.kind == "failed" and error and not isinstance(error, NotAllowedError):
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
                    moved = f"the target moved to {target.address} (through {target.endpoint_id})"
                    self._health.emit(TunnelEvent("note", text=moved))
                    self._dialer.target = target
            await asyncio.sleep(LOOKED_UP_EVERY)
            self._doubtful.clear()


class Opening:
    """Opens one definition.

    Args:
        definition: What to open.
        session: Access to AWS.
        health: Learns how it goes.
        last_port: The free local port that it had before, which is taken again if it can be; 0 for none.
    """

    def __init__(self, definition: Definition, session: Session, health: Health, last_port: int = 0) -> None:
        self.definition = definition
        self.session = session
        self.health = health
        self.last_port = last_port
        self._paths: list[Path] = []

    def open(self) -> Opened:
        """Return the tunnel, which listens, but relays nothing yet.

        Raises:
            EicctlError: It cannot be opened now.
        """
        kind = self.definition.kind
        with contextlib.ExitStack() as undo:
            undo.callback(self._unlink)
            if kind in ("direct", "rdp"):
                opened = self._direct(undo)
            else:
                opened = self._database(undo) if kind == "db" else self._via(undo)
            if not loopback_only(opened.sockets):
                self._note(f"warning: listening on {self.definition.bind}: anyone who can reach it can connect")
            undo.pop_all()
        return opened

    def _direct(self, undo: contextlib.ExitStack) -> Opened:
        from eicctl.aws.targets import resolve

        wanted = self.definition
        rdp = wanted.kind == "rdp"
        # Bound first: a busy port is reported at once, and not after AWS was called.
        sockets = self._bind(undo, LOCAL_RDP_PORT if rdp else 0, wanted.local_socket)
        request = wanted.replace(remote_port=RDP_PORT) if rdp else wanted
        return self._dialing(sockets, lambda: resolve(self.session, request))

    def _dialing(self, sockets: Sequence[socket], look_up: Callable[[], Target]) -> Opened:
        from eicctl.api.targets import dialer_to

        target = look_up()
        dialer = dialer_to(self.session, target, self.definition, look_up=look_up)
        direct = Direct(dialer, sockets, self.health, look_up, self.definition.linger)
        return Opened(
            sockets=sockets,
            remote=f"{target.label} port {target.remote_port}",
            via=direct.via,
            server=direct,
            start=direct.start,
            cleanup=self._unlink,
        )

    def _via(self, undo: contextlib.ExitStack) -> Opened:
        """Open a tunnel of the kinds `via` and `socks`."""
        from eicctl.ssh.destination import parse_forward

        wanted = self.definition
        bound: list[tuple[list[socket], Remote | None]] = []
        for spec in map(parse_forward, wanted.forward):
            if spec.local_path:
                sockets = self._bind(undo, 0, str(Path(wanted.source).parent / spec.local_path))
            else:
                sockets = bind_wanted(spec.local_port, spec.port, wanted.bind or None, self._note)
                _closing(undo, sockets)
            remote = Remote(path=spec.remote_path) if spec.remote_path else Remote(spec.host or "localhost", spec.port)
            bound.append((sockets, remote))
        if wanted.kind == "socks":
            bound.append((self._bind(undo, SOCKS_PORT), None))
        return self._through(wanted.via, bound)

    def _database(self, undo: contextlib.ExitStack) -> Opened:
        from eicctl.aws.databases import direct_target, reader_of
        from eicctl.reachability.jump_host import instance_for, locate

        wanted = self.definition
        found, host, port = locate(self.session, wanted.database)
        if wanted.reader:
            if found is None:
                raise UsageError(f"{wanted.database} is not a known RDS database, so it has no reader endpoint")
            host = reader_of(found)
        sockets = self._bind(undo, port)
        if found and port == DIRECT_DATABASE_PORT and not wanted.via:
            database = found
            return self._dialing(
                sockets, lambda: direct_target(self.session, database, host, endpoint_id=wanted.endpoint_id)
            )
        via = wanted.via
        if not via:
            path = instance_for(self.session, found, port)
            self._note(f"Using {path.instance.name or path.instance.id} as the jump host: {path.reason}")
            via = path.instance.id
        return self._through(via, [(sockets, Remote(host, port))])

    def _through(self, via: str, bound: Sequence[tuple[Sequence[socket], Remote | None]]) -> Opened:
        from eicctl.api.targets import renewed_connection
        from eicctl.aws.targets import resolve

        check = self.definition.host_key_check or defaults.host_key_check()
        request = self.definition.replace(target=via, remote_port=SSH_PORT, host_key_check=check)
        target = resolve(self.session, request)
        ssh = renewed_connection(self.session, target, request, self._emit)
        return Opened(
            sockets=[sock for sockets, _ in bound for sock in sockets],
            remote=", ".join(str(remote or "SOCKS5") for _, remote in bound),
            via=lambda: ssh.label,
            server=Forwarder([Forward(tuple(sockets), ssh, remote) for sockets, remote in bound], self._emit),
            start=ssh.start,
            cleanup=self._unlink,
        )

    def _emit(self, event: TunnelEvent) -> None:
        """Take an event of a forwarder and its SSH connection.

        A client of SOCKS chooses its destination: a failed connect does not mark the tunnel unhealthy then.
        """
        self.health.emit(event)
        of_client = self.definition.kind == "socks" or isinstance(event.error, NotAllowedError)
        if event.kind == "lost":
            self.health.failed(EicctlError(f"The SSH connection to {event.via} is lost: {event.text}"))
        elif event.kind == "recovered" or (event.close_info and not event.close_info.error):
            self.health.worked()
        elif event.error and not (event.connection and of_client):
            self.health.failed(event.error)

    def _bind(self, undo: contextlib.ExitStack, usual: int, path: str = "") -> list[socket]:
        """Listen at a path, or else at the definition's port, the last one, or the usual one if that is free."""
        wanted = self.definition
        if path:
            sockets = [bind_unix(Path(path))]
            self._paths.append(Path(path))
        else:
            preferred = self.last_port or (0 if wanted.local_port == 0 else usual)
            sockets = bind_wanted(wanted.local_port or None, preferred, wanted.bind or None, self._note)
        _closing(undo, sockets)
        return sockets

    def _note(self, text: str) -> None:
        self.health.emit(TunnelEvent("note", text=text))

    def _unlink(self) -> None:
        """Remove the Unix sockets."""
        for path in self._paths:
            path.unlink(missing_ok=True)


def _closing(undo: contextlib.ExitStack, sockets: Sequence[socket]) -> None:
    for sock in sockets:
        undo.callback(sock.close)
