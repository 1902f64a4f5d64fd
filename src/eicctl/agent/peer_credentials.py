"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import socket
import struct
import sys

_UCRED = struct.Struct("3i")
_XUCRED = struct.Struct("IIh16I")  # of <sys/ucred.h>: version, uid, number of groups, groups
_LOCAL_PEERCRED, _LOCAL_PEERPID = 1, 2  # of <sys/un.h>, at the level SOL_LOCAL, which is 0


def user_of(sock: socket.socket) -> int | None:
    """Return the user ID of the process at the other end, as the kernel knows it; None where the platform can't tell.

    Raises:
        OSError: The other end is gone.
    """
    if sys.platform == "linux":
        _, user, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(user)
    if sys.platform == "darwin":
        found = sock.getsockopt(0, _LOCAL_PEERCRED, _XUCRED.size)
        return int(struct.unpack_from("II", found)[1])
    return None


def pid_of(sock: socket.socket) -> int:
    """Return the process ID of the other end: of a socket that was accepted, who listens; 0 where nothing tells.

    Raises:
        OSError: The other end is gone.
    """
    if sys.platform == "linux":
        pid, _, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return int(pid)
    if sys.platform == "darwin":
        return sock.getsockopt(0, _LOCAL_PEERPID)
    return 0
