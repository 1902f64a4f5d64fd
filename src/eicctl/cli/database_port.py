"""The two ways of `eicctl db`: straight to the database, or through SSH on an instance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from socket import socket
from typing import TYPE_CHECKING

from eicctl.cli.via_instance import connection_via, serve
from eicctl.cli.view import messages
from eicctl.core.errors import INTERRUPTED
from eicctl.core.model import DIRECT_DATABASE_PORT

if TYPE_CHECKING:
    import asyncio

    from eicctl.aws.databases import Database
    from eicctl.aws.session import Session
    from eicctl.core.events import Emit
    from eicctl.core.model import Target
    from eicctl.core.request import ConnectRequest


_SSL_REQUEST = bytes([0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F])
"""What makes PostgreSQL answer: the question whether it does TLS (its protocol 3.0). MySQL speaks first."""


@dataclass(frozen=True)
class LocalPort:
    """A local port for a database.

    Attributes:
        session: Access to AWS.
        database: The database, or None for a host that RDS does not know.
        remote: The host and the port to connect to.
        sockets: Listening sockets.
        emit: Takes what happens.
        request: How to log in to an instance, by which endpoint, and for how long.
    """

    session: Session
    database: Database | None
    remote: tuple[str, int]
    sockets: Sequence[socket]
    emit: Emit
    request: ConnectRequest

    @property
    def is_direct(self) -> bool:
        """Whether an endpoint reaches the database itself."""
        return self.database is not None and self.remote[1] == DIRECT_DATABASE_PORT

    def serve_directly(self, ready: Callable[[str], None]) -> int:
        """Serve until Ctrl-C; each connection is a tunnel of its own. `ready` is told the endpoint's ID."""
        from eicctl.api.targets import dialer_to
        from eicctl.cli.signals import run_interruptibly
        from eicctl.cli.target_prompt import waited
        from eicctl.tunnel.listener import Listener

        host, port = self.remote
        greeting = _SSL_REQUEST if self.database and "postgres" in self.database.engine else b""
        target = waited(self.session, self.request, self._target, host, greeting=greeting)
        dialer = dialer_to(
            self.session,
            target,
            self.request,
            look_up=lambda: self._target(lambda _: None),
        )

        async def main(stop: asyncio.Event) -> None:
            ready(target.endpoint_id)
            await Listener(dialer, self.sockets, self.emit, remote=f"{host}:{port}").serve(stop)

        run_interruptibly(main)
        return INTERRUPTED

    def _target(self, note: Callable[[str], None] = messages.line) -> Target:
        from eicctl.aws.databases import direct_target

        assert self.database  # noqa: S101 - is_direct
        target = direct_target(
            self.session, self.database, self.remote[0], endpoint_id=self.request.endpoint_id, note=note
        )
        return replace(target, endpoint_dns_name=self.request.endpoint_dns_name or target.endpoint_dns_name)

    def serve_through(self, via: str | None, ready: Callable[[str], None]) -> int:
        """Serve until Ctrl-C through an instance: `via`, or a chosen one. `ready` is told its name."""
        from eicctl.ssh.forward.connection import Remote
        from eicctl.ssh.forward.forwarder import Forward

        connections = connection_via(
            self.session,
            via or _chosen(self.session, self.database, self.remote[1]),
            self.request,
            self.emit,
        )
        forward = Forward(tuple(self.sockets), connections, Remote(*self.remote))
        return serve([forward], self.emit, lambda: ready(connections.label))


def _chosen(session: Session, database: Database | None, port: int) -> str:
    """Return the ID of an instance that may connect to the database; say which, and why."""
    from eicctl.reachability.jump_host import instance_for

    way = instance_for(session, database, port)
    name = f"{way.instance.name} ({way.instance.id})" if way.instance.name else way.instance.id
    messages.line(f"going through {name}: {way.reason}")
    return way.instance.id
