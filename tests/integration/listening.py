"""A listener in a thread, with a record of what it has told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from eicctl.core.errors import EicctlError
from eicctl.core.events import CloseInfo, TunnelEvent
from eicctl.support.bind import bind_tcp
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.listener import Listener
from eicctl.tunnel.relay import Linger
from eicctl.tunnel.slots import LIMIT, slots_of
from tests.waiting import wait_for


@dataclass
class Told:
    """Takes events, and remembers them by kind."""

    waits: list[tuple[int, int]] = field(default_factory=list)
    leavers: list[int] = field(default_factory=list)
    opened_numbers: list[int] = field(default_factory=list)
    retries: list[EicctlError] = field(default_factory=list)
    failures: list[EicctlError] = field(default_factory=list)
    endings: list[CloseInfo] = field(default_factory=list)

    def __call__(self, event: TunnelEvent) -> None:
        match event.kind:
            case "waiting":
                self.waits.append((event.connection, event.count))
            case "disconnected":
                self.leavers.append(event.connection)
            case "opened":
                self.opened_numbers.append(event.connection)
            case "retrying" if event.error:
                self.retries.append(event.error)
            case "failed" if event.error:
                self.failures.append(event.error)
            case "closed" if event.close_info:
                self.endings.append(event.close_info)
            case _:
                raise AssertionError(event)

    def ending(self) -> CloseInfo:
        """The first ending, once it is told."""
        return wait_for(lambda: self.endings)[0]


@contextlib.contextmanager
def listening(
    dialer: Dialer, *, max_connections: int = LIMIT, linger: Linger | float | None = None
) -> Iterator[tuple[int, Told]]:
    """Run a listener as long as the block lasts; give its port and what it tells."""
    told = Told()
    slots_of(dialer.target.endpoint_id).limit = max_connections
    sockets = bind_tcp(0)
    port = sockets[0].getsockname()[1]
    ready = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        ready.set()
        await Listener(dialer, sockets, told, linger=linger if isinstance(linger, Linger) else Linger.of(linger)).serve(
            stop
        )

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait(60)
    try:
        yield port, told
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        assert not thread.is_alive(), "the listener did not end"


def connect(port: int) -> socket.socket:
    """Return a client's socket."""
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def read_all(sock: socket.socket) -> bytes:
    """Read to the end."""
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)
