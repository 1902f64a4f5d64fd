"""Accepting clients on listening sockets, also when the process has no file descriptors left."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence

from eicctl.core.errors import EicctlError
from eicctl.tunnel import peer_uid

PAUSE = 0.2
"""Seconds without accepting after the process has run out of file descriptors. Clients wait in the kernel's queue."""

QUIET = 10.0
"""Seconds in which no further refused client is reported."""

_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = logging.getLogger(__name__)


class Acceptor:
    """Passes each client to `arrived`, with its address as text. All methods are called on the loop's thread.

    asyncio's own server does not do: out of descriptors, it tries again as often as its queue is long, with a traceback
    each time.

    Args:
        sockets: Listening sockets that do not block. They are not closed here.
        arrived: Takes a client's socket, which does not block.
        refused: Called with a client of another user, whose connection is closed, and the reason. None if `arrived`
            checks users itself.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        arrived: Callable[[socket.socket, str], object],
        refused: Callable[[str, EicctlError], object] | None,
    ) -> None:
        self._sockets = sockets
        self._arrived = arrived
        self._refused = refused
        self._everybody = refused is None or peer_uid.everybody_is_allowed()
        self._accepting = False
        self._ended = False
        self._warned = False
        self._kernel: socket.socket | None = None
        self._quiet_until = 0.0
        self._unreported = 0

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self._kernel = None if self._everybody else peer_uid.kernel()
        self._accept(True)

    def stop(self) -> None:
        """Accept no more."""
        self._ended = True
        self._accept(False)
        if self._kernel:
            self._kernel.close()

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
                if error.errno not in _OUT_OF:
                    raise
                self._pause(error.errno)
                return
            self._warned = False
            name = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "local socket"
            if not self._everybody and (why := peer_uid.refusal(client, self._kernel)):
                client.close()
                self._refuse(name, why)
                continue
            client.setblocking(False)
            self._arrived(client, name)

    def _refuse(self, name: str, why: EicctlError) -> None:
        """Report a refused client; of many, only some, so that they cannot fill the log."""
        now = self._loop.time()
        if now < self._quiet_until:
            self._unreported += 1
            return
        if self._unreported:
            why = type(why)(f"{why.message}; {self._unreported} more since the last message", hint=why.hint)
        self._quiet_until, self._unreported = now + QUIET, 0
        if self._refused:
            self._refused(name, why)

    def _pause(self, code: int) -> None:
        if not self._warned:  # once, and not with every try
            _log.warning("cannot accept: %s; new clients wait until others disconnect", os.strerror(code))
        self._warned = True
        self._accept(False)
        self._loop.call_later(PAUSE, self._accept, True)
