"""A local client that has connected, and whose tunnel is not open yet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

HELD = 65536
"""Most bytes that are taken from a client before its tunnel is open."""


class WaitingClient:
    """Notices that a client has gone, so that its place goes to another one.

    A client that has sent something before it left (OpenSSH's speaks at once) would look as if it were still there, so
    what it sends is read and held for the tunnel. One that has only ended its writing side looks the same as one that
    is gone: it is waited for as long as a channel would do.

    Args:
        loop: The event loop; every method is called on its thread.
        client: The client's socket, which does not block. It is not closed here.
        linger: Seconds from the end of what a client has sent to that it counts as gone. One that has sent nothing,
            and has to queue, counts as gone at once.

    Attributes:
        gone: Whether the client is gone.
        queued: Whether it has to queue for a place.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, client: socket.socket, linger: float) -> None:
        client.setblocking(False)
        self.gone = False
        self.queued = False
        self._loop = loop
        self._client = client
        self._linger = linger
        self._held = bytearray()
        self._on_gone: Callable[[], object] = lambda: None
        self._timer: asyncio.TimerHandle | None = None
        self._watching = False

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Begin; `on_gone` is called once when the client is gone."""
        self._on_gone = on_gone
        self._watching = True
        self._loop.add_reader(self._client.fileno(), self._read)

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
            self._loop.remove_reader(self._client.fileno())

    def _read(self) -> None:
        try:
            data = self._client.recv(HELD - len(self._held))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._leave()
            return
        self._held += data
        if not data and not self._held and self.queued:
            self._leave()
        elif not data:
            self._unwatch()
            self._timer = self._loop.call_later(self._linger, self._leave)
        elif len(self._held) >= HELD:
            self._unwatch()

    def _leave(self) -> None:
        self._unwatch()
        self.gone = True
        self._on_gone()
