"""The local end of a channel: a socket, or a pair of file descriptors."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Protocol

from eicctl.tunnel.frames import Part
from eicctl.tunnel.scratch import SCRATCH

MANY = 64
"""More pieces than these are joined before they are written: the kernel takes 1024 at once (IOV_MAX) at the most."""


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

    def close(self) -> None:
        """Close both directions; what was written is still delivered."""


class SocketEnd:
    """A connected stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
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

    def close(self) -> None:
        # Without the shutdown a child process that inherited the socket would keep it open.
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

    def close(self) -> None:
        for fd, blocking in self._blocking.items():
            with contextlib.suppress(OSError):
                os.set_blocking(fd, blocking)
            if self._owned:
                os.close(fd)
