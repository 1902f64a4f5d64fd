"""Messages on a Unix socket, and whose process is at its other end.

A message is a length of four bytes (big-endian), and a JSON object of that many bytes.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

from eicctl.support.documents import parse_json

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


TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing costs a warm start some milliseconds
    from typing import Any

    Message = dict[str, Any]

LONGEST = 2**20
"""Most bytes in a message."""

PROTOCOL = 6
"""Changes when a message changes its meaning."""

_HEAD = struct.Struct(">I")


class WireError(Exception):
    """What came is not a message."""


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    body = json.dumps(message).encode()
    if len(body) > LONGEST:
        raise WireError(f"a message of {len(body)} bytes is too long")
    return _HEAD.pack(len(body)) + body


def body_length(head: bytes) -> int:
    """Return how many bytes follow a head.

    Raises:
        WireError: More than a message may have.
    """
    (length,) = _HEAD.unpack(head)
    if length > LONGEST:
        raise WireError(f"a message of {length} bytes is too long")
    return int(length)


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


HEAD_SIZE = _HEAD.size


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
