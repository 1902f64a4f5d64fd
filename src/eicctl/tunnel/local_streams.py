"""The local end of a relay: a socket, or a pair of file descriptors."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import struct
import sys
from collections.abc import Sequence
from typing import Protocol

from eicctl.support.tls import SCRATCH
from eicctl.tunnel.frames import Part

MANY = 64
"""More pieces than these are joined before they are written: the kernel takes 1024 at once (IOV_MAX) at the most."""


_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class LocalEnd(Protocol):
    """A non-blocking byte stream on this machine. Reading and writing raise `BlockingIOError` where they must wait."""

    read_fd: int
    write_fd: int

    def read(self, size: int) -> memoryview:
        """Return up to `size` bytes, which stay valid until the next read on this thread; empty at the end."""

    def write(self, parts: Sequence[Part]) -> int:
        """Write some of the bytes in `parts`; return how many."""

    def end_writing(self) -> bool:
        """Tell the reader that nothing more comes; return whether it may go on sending."""

    def client_there(self) -> bool | None:
        """Whether the other end is still open after its EOF; None if unknown."""

    def reset(self) -> None:
        """Have `close` end the connection so that the client cannot take what it has got for everything."""

    def close(self) -> None:
        """Close both directions; what was written is still delivered."""


class SocketEnd:
    """A connected stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._reset = False
        self.read_fd = self.write_fd = sock.fileno()

    def read(self, size: int) -> memoryview:
        return SCRATCH.view[: self._sock.recv_into(SCRATCH.view, size)]

    def write(self, parts: Sequence[Part]) -> int:
        if len(parts) == 1:
            return self._sock.send(parts[0])
        return self._sock.send(b"".join(parts)) if len(parts) > MANY else self._sock.sendmsg(parts)

    def end_writing(self) -> bool:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def client_there(self) -> bool | None:
        return _peer_there(self._sock)

    def reset(self) -> None:
        self._reset = True
        reset_at_close(self._sock)

    def close(self) -> None:
        # Without the shutdown a child process that inherited the socket would keep it open.
        if not self._reset:  # after which there is nothing left to reset
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class DescriptorEnd:
    """Two file descriptors that can be waited for, such as the pipes of a ProxyCommand. POSIX only.

    Args:
        read_fd: Where the client's bytes come from.
        write_fd: Where the target's bytes go.
        owned: Whether to close the descriptors at the end; they are given back as they were in any case.
    """

    def __init__(self, read_fd: int, write_fd: int, *, owned: bool = False) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._owned = owned
        # Others may share the open file descriptions (a terminal, say), so what was set is set back.
        self._blocking = {fd: os.get_blocking(fd) for fd in (read_fd, write_fd)}
        for fd in self._blocking:
            os.set_blocking(fd, False)

    def read(self, size: int) -> memoryview:
        return SCRATCH.view[: os.readv(self.read_fd, [SCRATCH.view[:size]])]

    def write(self, parts: Sequence[Part]) -> int:
        if len(parts) == 1:
            return os.write(self.write_fd, parts[0])
        return os.write(self.write_fd, b"".join(parts)) if len(parts) > MANY else os.writev(self.write_fd, parts)

    def end_writing(self) -> bool:
        return False

    def client_there(self) -> bool | None:
        """For pipes: whether there is still a reader."""
        if sys.platform == "win32":
            return None
        if not stat.S_ISSOCK(os.fstat(self.write_fd).st_mode):
            return not _hung_up(self.write_fd)
        with socket.socket(fileno=os.dup(self.write_fd)) as sock:
            return _peer_there(sock)

    def reset(self) -> None:
        return  # pipes have no such thing

    def close(self) -> None:
        for fd, blocking in self._blocking.items():
            with contextlib.suppress(OSError):
                os.set_blocking(fd, blocking)
            if self._owned:
                os.close(fd)


def reset_at_close(sock: socket.socket) -> None:
    """Have the close of a TCP socket reset its connection."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _peer_there(sock: socket.socket) -> bool | None:
    """Whether somebody has the other end of a socket that has sent EOF: half-closed, and not closed altogether."""
    if sys.platform != "linux":
        return None
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return not _hung_up(sock.fileno())
    from eicctl.tunnel import peer_uid  # what it imports costs a ProxyCommand on pipes some milliseconds

    return peer_uid.has_owner(sock)


def _hung_up(fd: int) -> bool:
    """Whether the other end of a pipe, a terminal or a Unix socket is closed altogether (poll(2))."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))
