"""Messages on a Unix socket, and whose process is at its other end.

A message is a line with a JSON object.
"""

from __future__ import annotations

import sys

from eicctl.support.bare import json_text, parse_json, socket

_LOCAL_PEERCRED, _LOCAL_PEERPID = 1, 2  # of <sys/un.h>, at the level SOL_LOCAL, which is 0


def user_of(sock: socket.socket) -> int | None:
    """Return the user ID of the process at the other end, as the kernel knows it; None where the platform can't tell.

    Raises:
        OSError: The other end is gone.
    """
    if sys.platform == "linux":  # struct ucred: pid, uid, gid
        return _number(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[4:8])
    if sys.platform == "darwin":  # struct xucred of <sys/ucred.h>: version, uid, number of groups, 16 groups
        return _number(sock.getsockopt(0, _LOCAL_PEERCRED, 76)[4:8])
    return None


def pid_of(sock: socket.socket) -> int:
    """Return the process ID of the other end: of a socket that was accepted, who listens; 0 where nothing tells.

    Raises:
        OSError: The other end is gone.
    """
    if sys.platform == "linux":
        return _number(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4])
    if sys.platform == "darwin":
        return sock.getsockopt(0, _LOCAL_PEERPID)
    return 0


def _number(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing costs a warm start some milliseconds
    from typing import Any

    Message = dict[str, Any]

LONGEST = 2**20
"""Most bytes in a message."""

PROTOCOL = 7
"""Changes when a message changes its meaning."""


class WireError(Exception):
    """What came is not a message."""


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    line = json_text(message).encode() + b"\n"
    if len(line) > LONGEST:
        raise WireError(f"a message of {len(line)} bytes is too long")
    return line


def decode(line: bytes) -> Message:
    """Return the message that a line holds.

    Raises:
        WireError: It is not a JSON object.
    """
    try:
        message = parse_json(line)
    except ValueError as error:
        raise WireError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise WireError("not a JSON object")
    return message


def receive(sock: socket.socket) -> Message | None:
    """Return the next message of a blocking socket, or None at its end; what comes after it stays there.

    Raises:
        WireError: What came is not a message, or the end came within one.
        OSError: The connection broke, or its time-out passed.
    """
    line = b""
    while not line.endswith(b"\n"):
        seen = sock.recv(65536, socket.MSG_PEEK)
        if not seen and not line:
            return None
        if not seen or len(line) > LONGEST:
            raise WireError("the end came within a message" if not seen else "a message is too long")
        line += sock.recv(seen.find(b"\n") + 1 or len(seen))
    return decode(line)
