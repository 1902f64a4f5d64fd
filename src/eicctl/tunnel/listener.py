"""A local listener whose every connection gets a tunnel of its own."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import socket
import threading
from collections.abc import Sequence
from typing import Protocol

from eicctl.errors import EicctlError, LocalError
from eicctl.model import Traffic
from eicctl.tunnel.channel import Channel, Ending
from eicctl.tunnel.dial import Dialer, Link
from eicctl.tunnel.ends import SocketEnd

LINGER = 5.0
"""Seconds for which a silent target is waited for after a client has shut down its writing side. A client that has
closed altogether looks the same, and its tunnel takes one of the endpoint's 20 connections meanwhile."""

END_TIMEOUT = 0.8
"""Seconds for which the end of the listener waits for its tunnels' closing handshakes."""

PAUSE = 0.2
"""Seconds without accepting after the process has run out of file descriptors."""

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told what happens to connections, each with its number (from 1) and its client's address."""

    def opened(self, number: int, client: str) -> None:
        """The endpoint has accepted the tunnel."""

    def retrying(self, number: int, client: str, error: EicctlError) -> None:
        """A dial failed for a passing reason and is tried again."""

    def failed(self, number: int, client: str, error: EicctlError) -> None:
        """No tunnel could be opened; the client's connection is closed."""

    def closed(self, number: int, client: str, ending: Ending) -> None:
        """The tunnel has ended."""


class Listener:
    """Accepts on listening sockets and carries each connection through a link of its own.

    Args:
        dialer: Opens the links; each in a thread, so no connection waits for another one's dial.
        sockets: Listening sockets that do not block; `close` closes them.
        observer: Is told what happens.
        max_connections: Most connections at a time; further clients wait in the listening queue. None for no limit.
        linger: See `Channel`.
    """

    def __init__(
        self,
        dialer: Dialer,
        sockets: Sequence[socket.socket],
        observer: Observer,
        *,
        max_connections: int | None = None,
        linger: float = LINGER,
    ) -> None:
        self._dialer = dialer
        self._sockets = list(sockets)
        self._observer = observer
        self._limit = max_connections
        self._linger = linger
        self._numbers = itertools.count(1)
        self._channels: dict[int, Channel] = {}  # with an open tunnel
        self._left: dict[int, Channel] = {}  # with an open local end
        self._dialling: dict[int, socket.socket] = {}
        self._carried = Traffic()  # by tunnels that have ended
        self._accepting = False
        self._ended = False
        self._idle = asyncio.Event()

    @property
    def traffic(self) -> Traffic:
        """What it carries. Read on the loop's thread."""
        past, now = self._carried, self._channels.values()
        return Traffic(
            active=len(now),
            total=past.total + len(now),
            bytes_in=past.bytes_in + sum(channel.bytes_in for channel in now),
            bytes_out=past.bytes_out + sum(channel.bytes_out for channel in now),
            ends=min((channel.expires for channel in now), default=None),
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Accept connections until `stop` is set, then close every tunnel properly and the sockets."""
        self._loop = asyncio.get_running_loop()
        self._accept(True)
        try:
            await stop.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop accepting, and close every tunnel with a close frame."""
        self._ended = True
        self._accept(False)
        for sock in self._sockets:
            sock.close()
        for client in self._dialling.values():
            client.close()
        for channel in list(self._channels.values()):
            channel.close("closed here")
        if self._channels:
            try:
                async with asyncio.timeout(END_TIMEOUT):
                    await self._idle.wait()
            except TimeoutError:
                _log.debug("%d tunnels did not close in time", len(self._channels))
        for channel in list(self._left.values()):
            channel.abort()

    def _accept(self, on: bool) -> None:
        if on == self._accepting or (on and self._ended):
            return
        self._accepting = on
        for sock in self._sockets:
            if on:
                self._loop.add_reader(sock.fileno(), self._accept_from, sock)
            else:
                self._loop.remove_reader(sock.fileno())

    def _accept_from(self, sock: socket.socket) -> None:
        while self._accepting:
            try:
                client, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                _log.warning("cannot accept: %s; again in %.1f s", os.strerror(error.errno), PAUSE)
                self._accept(False)
                self._loop.call_later(PAUSE, self._resume)
                return
            number = next(self._numbers)
            self._dialling[number] = client
            name = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "local socket"
            threading.Thread(target=self._dial, args=(number, client, name), daemon=True).start()
            self._resume()

    def _resume(self) -> None:
        busy = len(self._dialling) + len(self._channels)
        self._accept(self._limit is None or busy < self._limit)

    # In a thread of the connection's own

    def _dial(self, number: int, client: socket.socket, name: str) -> None:
        def retrying(error: EicctlError) -> None:
            self._later(self._observer.retrying, number, name, error)

        try:
            link = self._dialer.open(waiting=retrying)
        except EicctlError as error:
            self._later(self._failed, number, client, name, error)
        except Exception as error:  # a defect must not leave the client waiting
            _log.debug("dial of connection %d failed", number, exc_info=True)
            failure = LocalError(f"unexpected {type(error).__name__} while connecting: {error}")
            self._later(self._failed, number, client, name, failure)
        else:
            self._later(self._opened, number, client, name, link)

    def _later(self, callback: object, *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)  # type: ignore[arg-type]
        except RuntimeError:  # the loop was closed meanwhile
            for arg in args:
                if isinstance(arg, Link):
                    arg.stream.close()

    # On the loop

    def _failed(self, number: int, client: socket.socket, name: str, error: EicctlError) -> None:
        self._dialling.pop(number, None)
        client.close()
        if not self._ended:
            self._observer.failed(number, name, error)
            self._resume()

    def _opened(self, number: int, client: socket.socket, name: str, link: Link) -> None:
        self._dialling.pop(number, None)
        if self._ended:
            link.stream.close()
            return

        def ended(ending: Ending) -> None:
            del self._channels[number]
            past = self._carried
            self._carried = Traffic(
                total=past.total + 1,
                bytes_in=past.bytes_in + ending.bytes_in,
                bytes_out=past.bytes_out + ending.bytes_out,
            )
            self._observer.closed(number, name, ending)
            if not self._channels:
                self._idle.set()
            self._resume()

        def done() -> None:
            del self._left[number]

        self._idle.clear()
        self._observer.opened(number, name)
        channel = Channel(self._loop, link, SocketEnd(client), on_end=ended, on_done=done, linger=self._linger)
        self._channels[number] = self._left[number] = channel
        channel.start()
