"""One tunnel on a pair of file descriptors: what an OpenSSH ProxyCommand is."""

from __future__ import annotations

import os
import selectors
import socket
import stat
import sys
import threading

from eicctl.core.events import CloseInfo
from eicctl.tunnel.dial import Link
from eicctl.tunnel.local_streams import DescriptorEnd, LocalEnd, SocketEnd
from eicctl.tunnel.relay import PIPE_CLOSE_TIMEOUT, PIPES, STALL_TIMEOUT, Linger, Relay
from eicctl.tunnel.selector_loop import SelectorReactor


class StdioTunnel:
    """Carries bytes between a link and two file descriptors until one side ends."""

    def __init__(self, link: Link, read_fd: int, write_fd: int, linger: Linger = PIPES) -> None:
        self._reactor = SelectorReactor()
        self._ending: CloseInfo | None = None
        self._interrupted = False
        if _waitable(read_fd) and _waitable(write_fd):
            local: LocalEnd = DescriptorEnd(read_fd, write_fd)
            self._bridge = None
        else:
            self._bridge = _Bridge(read_fd, write_fd)
            local = SocketEnd(self._bridge.near)
        self._relay = Relay(
            self._reactor,
            link,
            local,
            on_end=self._ended,
            on_done=self._reactor.stop,
            linger=linger,
            close_timeout=PIPE_CLOSE_TIMEOUT,
        )

    def run(self) -> CloseInfo:
        """Relay until the end, deliver what is left, and return how the tunnel ended."""
        self._relay.start()
        self._reactor.run()
        self._reactor.close()
        if self._bridge:
            self._bridge.flush(STALL_TIMEOUT if self._interrupted else None)
        assert self._ending is not None, "the reactor stops after the end"  # noqa: S101
        return self._ending

    def close(self) -> None:
        """End the tunnel with a close frame. Callable from another thread and from a signal handler."""
        self._interrupted = True
        self._reactor.call_soon_threadsafe(self._relay.interrupt)

    def _ended(self, ending: CloseInfo) -> None:
        self._ending = ending


def _waitable(fd: int) -> bool:
    """Whether the platform can wait for the descriptor: not regular files, and on Windows only sockets."""
    if sys.platform == "win32" or stat.S_ISREG(os.fstat(fd).st_mode):
        return False
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(fd, selectors.EVENT_READ)
        except (OSError, ValueError):
            return False
    return True


class _Bridge:
    """Two threads between descriptors that cannot be waited for and a socket pair that can.

    `near` is the relay's end of the pair.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.near, self._far = socket.socketpair()
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()
        threading.Thread(target=self._read, daemon=True).start()

    def flush(self, timeout: float | None) -> None:
        """Wait until everything is written, for at most so many seconds."""
        self._writer.join(timeout)

    def _read(self) -> None:
        try:
            while data := os.read(self._read_fd, 65536):
                self._far.sendall(data)
            self._far.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _write(self) -> None:
        try:
            while data := self._far.recv(65536):
                view = memoryview(data)
                while view:
                    view = view[os.write(self._write_fd, view) :]
        except OSError:
            self._far.close()
