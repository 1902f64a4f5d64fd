"""From a definition to an open tunnel: names are looked up, and sockets bound. It blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, cast

from eicctl.core.errors import UsageError
from eicctl.core.events import Emit, TunnelEvent
from eicctl.core.model import DIRECT_DATABASE_PORT, RDP_PORT, SSH_PORT, Target
from eicctl.core.request import ConnectRequest
from eicctl.named_tunnels.definition import Definition
from eicctl.named_tunnels.runtime import Health, Opened, Straight, Through, forwarded
from eicctl.tunnel.bind import bind_unix, bind_wanted, loopback_only

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.ssh.forward.renewal import Rotation
    from eicctl.ssh.host_keys import Check

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
        from eicctl.ssh.forward.connection import Remote
        from eicctl.ssh.forward.forwarder import Forward
        from eicctl.ssh.forward.spec import parse_forward

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
