"""A forwarder in a thread, with a record of what it has told, and a service for it to reach."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from eicctl.api.targets import renewed_connection
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core.errors import EicctlError
from eicctl.core.events import CloseInfo, TunnelEvent
from eicctl.core.request import ConnectRequest
from eicctl.ssh.forward.connection import Remote
from eicctl.ssh.forward.forwarder import Forward, Forwarder
from eicctl.ssh.forward.renewal import RenewedConnection
from eicctl.support.bind import bind_tcp


@dataclass
class Record:
    """Takes events, and remembers them: a list of words for what happened to SSH connections, and the rest by kind."""

    events: list[str] = field(default_factory=list)
    stayed: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[EicctlError] = field(default_factory=list)
    opened_numbers: list[int] = field(default_factory=list)
    finished: list[CloseInfo] = field(default_factory=list)

    def __call__(self, event: TunnelEvent) -> None:
        if event.error:
            self.errors.append(event.error)
        match event.kind:
            case "note":
                self.notes.append(event.text)
            case "opened":
                self.opened_numbers.append(event.connection)
            case "closed" if event.close_info:
                self.finished.append(event.close_info)
            case "renewed" | "expired" | "lost" | "retrying" | "recovered":
                self.events.append(event.kind)
                if event.kind == "renewed":
                    self.stayed.append(event.count)
                elif event.kind in ("expired", "lost"):
                    self.cut.append(event.count)


@dataclass
class Running:
    """A running forwarder: the port of each remote in order, and a look inside."""

    ports: list[int]
    record: Record
    ssh: RenewedConnection
    forwarder: Forwarder
    loop: asyncio.AbstractEventLoop

    @property
    def port(self) -> int:
        return self.ports[0]

    def tasks(self) -> int:
        """How many tasks its loop has."""
        return len(asyncio.all_tasks(self.loop))


@contextlib.contextmanager
def forwarding(
    *remotes: Remote | None,
    via: str = "web-1",
    duration: int | None = None,
    patience: float = 10.0,
    login: ConnectRequest | None = None,
    passphrase: str = "",
    sockets: Sequence[socket.socket] = (),
) -> Iterator[Running]:
    """Forward ports to `remotes` through an instance as long as the block lasts; None is a SOCKS5 proxy.

    Raises whatever the first SSH connection fails with.
    """
    session = Session()
    record = Record()
    ssh = renewed_connection(
        session,
        resolve(session, ConnectRequest(target=via)),
        (login or ConnectRequest()).replace(max_tunnel_duration=duration),
        record,
        passphrase=lambda _: passphrase,
        patience=patience,
    )
    bound = [(tuple(sockets) or tuple(bind_tcp(0)), remote) for remote in remotes]
    forwarder = Forwarder([Forward(own, ssh, remote) for own, remote in bound], record)
    ready = threading.Event()
    started: list[Any] = []

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            await ssh.start()
        except BaseException as error:
            started.append(error)
            ready.set()
            return
        started.extend((asyncio.get_running_loop(), stop))
        ready.set()
        await forwarder.serve(stop)

    def work() -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(60)
    if isinstance(started[0], BaseException):
        for own, _ in bound:
            for sock in own:
                sock.close()
        raise started[0]
    ports = [0 if isinstance(own[0].getsockname(), str) else own[0].getsockname()[1] for own, _ in bound]
    try:
        yield Running(ports, record, ssh, forwarder, started[0])
    finally:
        started[0].call_soon_threadsafe(started[1].set)
        thread.join(10)
        assert not thread.is_alive(), "the forwarder did not end"


@contextlib.contextmanager
def target(handler: Any, family: int = socket.AF_INET) -> Iterator[int]:
    """A TCP service on loopback, which machines of the emulator find at `localhost`; a thread for each connection."""
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    clients: list[socket.socket] = []

    def handle(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            handler(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                clients.append(client)
                threading.Thread(target=handle, args=(client,), daemon=True).start()

    with socket.create_server((host, 0), family=family, backlog=256) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for client in clients:
                client.close()


def echo(client: socket.socket) -> None:
    """A service that sends back what comes, and then its end."""
    while data := client.recv(65536):
        client.sendall(data)
    client.shutdown(socket.SHUT_WR)
