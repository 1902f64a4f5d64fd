"""A local listener whose every connection gets a tunnel of its own."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from eicctl.core.errors import EicctlError, LocalError
from eicctl.core.events import CloseInfo, Emit, Kind, TunnelEvent
from eicctl.core.model import Traffic
from eicctl.tunnel import preconnect
from eicctl.tunnel.accept import Acceptor
from eicctl.tunnel.dial import Dialer, Link, open_link
from eicctl.tunnel.local_streams import SocketEnd
from eicctl.tunnel.relay import FIRST_LOOK, LAST_LOOK, SOCKETS, Linger, Relay
from eicctl.tunnel.slots import slots_of

_log = logging.getLogger(__name__)

HELD = 65536
"""Most bytes that are taken from a client before its tunnel is open."""


class WaitingClient:
    """Notices that a client has gone, so that its slot goes to another one.

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
        queued: Whether it has to queue for a slot.
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

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Begin; `on_gone` is called once when the client is gone."""
        self._on_gone = on_gone
        self._loop.add_reader(self._client.read_fd, self._read)

    def stop(self) -> bytes:
        """Do not watch any more; return what the client has sent."""
        self._loop.remove_reader(self._client.read_fd)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        return bytes(self._held)

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
            self._loop.remove_reader(self._client.read_fd)
            self._eof_at = self._loop.time()
            self._look()
        elif len(self._held) >= HELD:
            self._loop.remove_reader(self._client.read_fd)

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
        self._loop.remove_reader(self._client.read_fd)
        self.gone = True
        self._on_gone()


END_TIMEOUT = 0.8
"""Seconds for which the end of the listener waits for its tunnels' closing handshakes."""


class Listener:
    """Accepts connections on listening sockets and relays each through its own link.

    Args:
        dialer: Opens the links; each in a thread, so no connection waits for another one's dial. It has how long a
            client waits for a slot; how many there are is the endpoint's `Slots.limit`.
        sockets: Listening sockets that do not block; `close` closes them.
        emit: Takes what happens to connections, which have numbers from 1. Called on the loop's thread.
        remote: What the events say of where connections go; empty for nothing.
        linger: See `Relay`.
    """

    def __init__(
        self,
        dialer: Dialer,
        sockets: Sequence[socket.socket],
        emit: Emit,
        *,
        remote: str = "",
        linger: Linger = SOCKETS,
    ) -> None:
        self._dialer = dialer
        self._sockets = list(sockets)
        self._emit = emit
        self._remote = remote
        self._linger = linger
        self._numbers = itertools.count(1)
        self._relays: dict[int, Relay] = {}  # with an open tunnel
        self._left: dict[int, Relay] = {}  # with an open local end
        self._past = Traffic()  # by tunnels that have ended
        self._arriving: dict[int, asyncio.Task[None]] = {}
        self._acceptor = Acceptor(self._sockets, self._accepted, self._refused)
        self._idle = asyncio.Event()

    @property
    def traffic(self) -> Traffic:
        """Its traffic. Read on the loop's thread."""
        relays = self._relays.values()
        return sum((Traffic(1, 1, each.bytes_in, each.bytes_out, each.expires) for each in relays), self._past)

    async def serve(self, stop: asyncio.Event) -> None:
        """Accept connections until `stop` is set, then close every tunnel properly and the sockets."""
        self._loop = asyncio.get_running_loop()
        preconnect.enable()
        self._acceptor.start()
        try:
            await stop.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop accepting, and close every tunnel with a close frame."""
        self._acceptor.stop()
        for sock in self._sockets:
            sock.close()
        for task in list(self._arriving.values()):
            task.cancel()
        await asyncio.gather(*self._arriving.values(), return_exceptions=True)
        for relay in list(self._relays.values()):
            relay.close("closed here")
        if self._relays:
            try:
                async with asyncio.timeout(END_TIMEOUT):
                    await self._idle.wait()
            except TimeoutError:
                _log.debug("%d tunnels did not close in time", len(self._relays))
        for relay in list(self._left.values()):
            relay.abort()

    def _report(self, kind: Kind, number: int, client: str, **more: Any) -> None:
        self._emit(TunnelEvent(kind, number, client, self._remote, **more))

    def _accepted(self, client: socket.socket, name: str) -> None:
        number = next(self._numbers)
        task = self._loop.create_task(self._arrived(number, client, name))
        self._arriving[number] = task
        task.add_done_callback(functools.partial(self._no_longer_arriving, number, client))

    def _refused(self, client: str, why: EicctlError) -> None:
        self._report("failed", next(self._numbers), client, error=why)

    def _no_longer_arriving(self, number: int, client: socket.socket, task: asyncio.Task[None]) -> None:
        del self._arriving[number]
        if task.cancelled():  # it may not even have begun
            client.close()

    async def _arrived(self, number: int, client: socket.socket, name: str) -> None:
        """Open a client's tunnel, unless the client leaves before."""
        end = SocketEnd(client)
        waiting = WaitingClient(self._loop, end, self._linger)

        def queued(before: int) -> None:
            waiting.queued = True
            limit = slots_of(self._dialer.target.endpoint_id).limit
            self._report("waiting", number, name, count=before, limit=limit)

        def retrying(error: EicctlError) -> None:
            self._report("retrying", number, name, error=error)

        dial = self._loop.create_task(open_link(self._dialer, retrying=retrying, queued=queued))
        waiting.watch(dial.cancel)
        try:
            try:
                link = await dial
            finally:
                sent = waiting.stop()
            self._opened(number, end, name, link, sent)
        except asyncio.CancelledError:
            if dial.done() and not dial.cancelled() and not dial.exception():
                dial.result().close()  # opened in the moment of the end
            end.close()
            if not waiting.gone:
                raise
            self._report("disconnected", number, name)
        except EicctlError as error:
            end.close()
            self._report("failed", number, name, error=error)
        except Exception as error:  # a defect must not leave the client waiting
            end.close()
            _log.debug("dial of connection %d failed", number, exc_info=True)
            failure = LocalError(f"Unexpected {type(error).__name__} while connecting: {error}")
            self._report("failed", number, name, error=failure)

    def _opened(self, number: int, end: SocketEnd, name: str, link: Link, sent: bytes) -> None:
        def ended(ending: CloseInfo) -> None:
            del self._relays[number]
            self._past += Traffic(total=1, bytes_in=ending.bytes_in, bytes_out=ending.bytes_out)
            self._report("closed", number, name, close_info=ending)
            if not self._relays:
                self._idle.set()

        def done() -> None:
            del self._left[number]

        self._idle.clear()
        self._report("opened", number, name)
        relay = Relay(self._loop, link, end, on_end=ended, on_done=done, linger=self._linger)
        self._relays[number] = self._left[number] = relay
        relay.start(sent)
