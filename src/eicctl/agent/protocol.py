"""Messages on a Unix socket, and whose process is at its other end.

A message is a length of four bytes (big-endian), and a JSON object of that many bytes.
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

PROTOCOL = 6
"""Changes when a message changes its meaning."""

HEAD_SIZE = 4


class WireError(Exception):
    """What came is not a message."""


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    body = json_text(message).encode()
    if len(body) > LONGEST:
        raise WireError(f"a message of {len(body)} bytes is too long")
    return len(body).to_bytes(HEAD_SIZE, "big") + body


def body_length(head: bytes) -> int:
    """Return how many bytes follow a head.

    Raises:
        WireError: More than a message may have.
    """
    length = int.from_bytes(head, "big")
    if length > LONGEST:
        raise WireError(f"a message of {length} bytes is too long")
    return length


def decode(body: bytes) -> Message:
    """Return the message that a body holds.

    Raises:
        WireError: It is not a JSON object.
    """
    try:
        message = parse_json(body)
    except ValueError as error:
        raise WireError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise WireError("not a JSON object")
    return message


def receive(sock: socket.socket) -> Message | None:
    """Return the next message of a blocking socket, or None at its end.

    Raises:
        WireError: What came is not a message, or the end came within one.
        OSError: The connection broke, or its time-out passed.
    """
    head = _exactly(sock, HEAD_SIZE)
    if not head:
        return None
    if len(head) < HEAD_SIZE:
        raise WireError("the end came within a message")
    length = body_length(head)
    body = _exactly(sock, length)
    if len(body) < length:
        raise WireError("the end came within a message")
    return decode(body)


def _exactly(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes, or up to the end."""
    found = bytearray()
    while len(found) < size and (data := sock.recv(size - len(found))):
        found += data
    return bytes(found)
