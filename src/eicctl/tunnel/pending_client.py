"""A local client that has connected, and whose tunnel is not open yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from eicctl.tunnel.local_streams import SocketEnd
from eicctl.tunnel.relay import FIRST_LOOK, LAST_LOOK, SOCKETS, Linger

HELD = 65536
"""Most bytes that are taken from a client before its tunnel is open."""


class WaitingClient:
    """Notices that a client has gone, so that its place goes to another one.

    A client that has sent something before it left (OpenSSH's speaks at once) would look as if it were still there, so
    what it sends is read and held for the tunnel. One that has ended its sending half may wait for an answer.

    Args:
        loop: The event loop; every method is called on its thread.
        client: The client's end. It is not closed here.
        linger: Its `unknown` is the seconds for which one counts as there that has sent something and then EOF, and is
            gone or not known to be there; what it has sent may still be delivered. One that has sent nothing counts as
            gone as soon as that is known, or where that cannot be known, if it has to queue.

    Attributes:
        gone: Whether the client is gone.
        queued: Whether it has to queue for a place.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: SocketEnd, linger: Linger) -> None:
        self.gone = False
        self.queued = False
        self._loop = loop
        self._client = client
        self._seconds = linger.unknown or SOCKETS.unknown
        self._held = bytearray()
        self._on_gone: Callable[[], object] = lambda: None
        self._timer: asyncio.TimerHandle | None = None
        self._look_after = FIRST_LOOK
        self._eof_at = 0.0
        self._watching = False

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Begin; `on_gone` is called once when the client is gone."""
        self._on_gone = on_gone
        self._watching = True
        self._loop.add_reader(self._client.read_fd, self._read)

    def stop(self) -> bytes:
        """Do not watch any more; return what the client has sent."""
        self._unwatch()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        return bytes(self._held)

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._client.read_fd)

    def _read(self) -> None:
        try:
            data = self._client.read(HELD - len(self._held))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._leave()
            return
        self._held += data
        if not data:
            self._unwatch()
            self._eof_at = self._loop.time()
            self._look()
        elif len(self._held) >= HELD:
            self._unwatch()

    def _look(self) -> None:
        """After EOF: leave where the client has left, or look again in a moment."""
        there = self._client.client_there()
        waited = self._loop.time() - self._eof_at
        if not there and (waited >= self._seconds or (not self._held and (there is False or self.queued))):
            self._leave()
            return
        self._timer = self._loop.call_later(self._look_after, self._look)
        self._look_after = min(2 * self._look_after, LAST_LOOK)

    def _leave(self) -> None:
        self._unwatch()
        self.gone = True
        self._on_gone()
