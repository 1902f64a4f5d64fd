"""Tunnels that programs open: a local port for a remote one, on one event loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Self, Unpack

from eicctl.api.targets import Options, dialer_for
from eicctl.core.errors import EicctlError, UsageError
from eicctl.core.events import TunnelEvent
from eicctl.core.model import Target
from eicctl.core.names import counted
from eicctl.core.request import ConnectRequest
from eicctl.support.bind import bind_tcp, bind_unix
from eicctl.support.threads import in_thread
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.listener import Listener
from eicctl.tunnel.probe import probe
from eicctl.tunnel.relay import SOCKETS, Linger
from eicctl.tunnel.selector_loop import new_loop


class Background:
    """The event loop of a program's tunnels: one thread for all of them, while there are any. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs at least until `leave` is called."""
        with self._lock:
            self._users += 1
            if self._loop is None:
                self._loop = new_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="eicctl tunnels", daemon=True)
                self._thread.start()
            return self._loop

    def leave(self) -> None:
        """Release the loop. The last call ends the thread, and waits for its end."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop and thread:
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


BACKGROUND = Background()
"""The one of this process."""


class Tunnel:
    """An open local port; every connection to it is forwarded to the target. Made by `open_tunnel`.

    It is a context manager, and safe to use from several threads.

    Attributes:
        target: Where connections go.
        local_address: The address that it listens on: `127.0.0.1`, or the one that was given. The same port of `::1`
            is open too where none was given. For a Unix socket, its path.
        local_port: The port; 0 for a Unix socket.
        last_error: Why the last connection that failed did so, or None. A client itself sees only its socket's end.
    """

    def __init__(
        self, dialer: Dialer, sockets: Sequence[socket.socket], path: Path | None = None, linger: Linger = SOCKETS
    ) -> None:
        self.target: Target = dialer.target
        name = sockets[0].getsockname()
        self.local_address: str = str(path) if path else str(name[0])
        self.local_port: int = 0 if path else int(name[1])
        self.last_error: EicctlError | None = None
        self._path = path
        self._count = 0
        self._lock = threading.Lock()
        self._closed = False
        self._loop = BACKGROUND.enter()
        self._stop = asyncio.Event()
        self._serving: Future[None] = asyncio.run_coroutine_threadsafe(self._serve(dialer, sockets, linger), self._loop)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._count

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """Close the port and every connection; returns when that is done. Calling it again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._serving.result()
        finally:
            if self._path:
                self._path.unlink(missing_ok=True)
            BACKGROUND.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else counted(self.connections, "connection")
        where = self.local_address if self._path else f"{self.local_address}:{self.local_port}"
        return f"<Tunnel {where} to {self.target.label}:{self.target.remote_port}, {state}>"

    def _note(self, event: TunnelEvent) -> None:
        info = event.close_info
        if event.kind == "opened":
            self._count += 1
        elif info:
            self._count -= 1
        if error := info.error if info else event.error if event.kind == "failed" else None:
            self.last_error = error

    async def _serve(self, dialer: Dialer, sockets: Sequence[socket.socket], linger: Linger) -> None:
        await Listener(dialer, sockets, self._note, linger=linger).serve(self._stop)


def open_tunnel(
    target: str | ConnectRequest | Target,
    *,
    local_port: int = 0,
    bind: str | None = None,
    local_socket: Path | None = None,
    check: bool = False,
    **options: Unpack[Options],
) -> Tunnel:
    """Open a local port for a port of a target. Blocks for as long as AWS takes to answer.

    Args:
        target: An instance ID, a Name tag, `tag:KEY=VALUE`, a private address or DNS name, or a `Target`.
        local_port: The port to listen on; 0 for a free one.
        bind: The address to listen on; None for the loopback addresses.
        local_socket: A path to listen at with a Unix socket, for this user only, instead of a port.
        check: Whether to test first that the endpoint accepts a tunnel.
        **options: Which port, endpoint and account: see `Options`.

    Returns:
        The tunnel. Close it, or use it in a `with` statement.

    Raises:
        EicctlError: By what went wrong.
    """
    if local_socket and (local_port or bind):
        raise UsageError("local_socket cannot be combined with local_port or bind")
    with contextlib.ExitStack() as undo:
        # Bound first: a busy port is reported at once, and not after AWS has responded.
        if local_socket:
            sockets = [bind_unix(local_socket)]
            undo.callback(local_socket.unlink, missing_ok=True)
        else:
            sockets = bind_tcp(local_port, bind)
        for sock in sockets:
            undo.callback(sock.close)
        dialer, request = dialer_for(target, options)
        if check:
            probe(dialer)
        tunnel = Tunnel(dialer, sockets, local_socket, Linger.of(request.linger))
        undo.pop_all()
    return tunnel


@contextlib.asynccontextmanager
async def open_tunnel_async(
    target: str | ConnectRequest | Target,
    *,
    local_port: int = 0,
    bind: str | None = None,
    local_socket: Path | None = None,
    check: bool = False,
    **options: Unpack[Options],
) -> AsyncIterator[Tunnel]:
    """`open_tunnel` for `async with`: does not block the event loop, whose thread moves none of the bytes."""
    opening = functools.partial(
        open_tunnel, target, local_port=local_port, bind=bind, local_socket=local_socket, check=check, **options
    )
    tunnel = await in_thread(opening, Tunnel.close)
    try:
        yield tunnel
    finally:
        await asyncio.shield(in_thread(tunnel.close))
