"""A connected socket whose other end is the target: for paramiko, asyncssh, and whatever takes a socket."""

from __future__ import annotations

import contextlib
import functools
import socket
import weakref
from typing import TYPE_CHECKING, Unpack

from eicctl.api.targets import Options, dialer_for
from eicctl.api.tunnels import BACKGROUND
from eicctl.core.events import CloseInfo
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support.threads import in_thread
from eicctl.tunnel import preconnect
from eicctl.tunnel.local_streams import SocketEnd
from eicctl.tunnel.relay import Linger, Relay

if TYPE_CHECKING:
    import asyncio

    from eicctl.core.errors import EicctlError
    from eicctl.tunnel.dial import Link


class TunnelSocket(socket.socket):
    """A stream socket that is connected to a target. Made by `connect`.

    It is a real socket with a descriptor, so `select`, `asyncio` and time-outs work. Closing it ends the tunnel, after
    what was sent has been delivered.
    """

    def __init__(self, target: Target, descriptor: int) -> None:
        super().__init__(fileno=descriptor)
        self._target = target
        self._ending: CloseInfo | None = None
        self._relayed: _Relayed | None = None

    @property
    def target(self) -> Target:
        """Where it leads."""
        return self._target

    @property
    def ending(self) -> CloseInfo | None:
        """How the tunnel has ended, with the number of bytes; None as long as it is open."""
        return self._ending

    @property
    def error(self) -> EicctlError | None:
        """Why the tunnel has ended before its time, if it has."""
        return self._ending.error if self._ending else None

    def close(self) -> None:
        """Close the socket and end the tunnel."""
        super().close()
        if self._relayed:
            self._relayed.finish()


class _Relayed:
    """The tunnel's side of a `TunnelSocket`, which it does not keep alive."""

    def __init__(self, sock: TunnelSocket, link: Link, local: socket.socket, linger: Linger) -> None:
        self._owner = weakref.ref(sock)
        self._loop: asyncio.AbstractEventLoop = BACKGROUND.enter()
        self._loop.call_soon_threadsafe(self._start, link, local, linger)

    def finish(self) -> None:
        """The socket is closed: no linger is needed for it. Callable from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended with its last tunnel, which may be this one
            self._loop.call_soon_threadsafe(self._finish)

    # On the loop

    def _start(self, link: Link, local: socket.socket, linger: Linger) -> None:
        end = SocketEnd(local)
        self._relay = Relay(self._loop, link, end, on_end=self._ended, on_done=BACKGROUND.leave, linger=linger)
        self._relay.start()

    def _finish(self) -> None:
        self._relay.finish()

    def _ended(self, ending: CloseInfo) -> None:
        if owner := self._owner():
            owner._ending = ending


def connect(target: str | ConnectRequest | Target, **options: Unpack[Options]) -> TunnelSocket:
    """Return a socket that is connected to a port of a target. Blocks for as long as that takes.

    The endpoint accepts a connection before it knows whether the target does: where that fails, the socket ends without
    a byte, and its `error` says why.

    Args:
        target: An instance ID, a Name tag, a private address or DNS name, or a `Target`.
        **options: Which port, endpoint and account: see `Options`.

    Raises:
        EicctlError: By what went wrong.
    """
    preconnect.enable()
    dialer, request = dialer_for(target, options)
    link = dialer.open()
    try:
        near, far = socket.socketpair()
        sock = TunnelSocket(dialer.target, near.detach())
    except BaseException:
        link.close()
        raise
    sock._relayed = _Relayed(sock, link, far, Linger.of(request.linger))
    return sock


async def connect_async(target: str | ConnectRequest | Target, **options: Unpack[Options]) -> TunnelSocket:
    """`connect` without blocking the event loop. The socket does not block, as asyncio wants it."""
    sock = await in_thread(functools.partial(connect, target, **options), TunnelSocket.close)
    sock.setblocking(False)
    return sock
