"""Whose process is at the other end of a connection on this machine: other users can connect to any loopback port.

Linux tells by a sock_diag(7) query, which takes some 15 µs; `/proc/net/tcp` would have to be read in full. Elsewhere
nobody tells, and everybody is let in.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import itertools
import os
import socket
import struct
import sys

from eicctl.core.errors import EicctlError, LocalError
from eicctl.support import defaults

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBxI")  # the head of struct inet_diag_req_v2: family, protocol, extensions, states
_SOCKET = struct.Struct("!HH16s16s4sII")  # struct inet_diag_sockid: ports, addresses, interface, cookie
_ANSWER = struct.Struct("=BBBB48sIIIII")  # struct inet_diag_msg: …, uid, inode

_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY of <linux/sock_diag.h>
_REQUESTED = 1  # NLM_F_REQUEST
_NETLINK_SOCK_DIAG = 4
_LOOPBACK = struct.pack("=I", 1)  # a socket that is bound to the interface is found with it only; others are, too
_NO_COOKIE = 0xFFFFFFFF
_ANY_STATE = 0xFFFFFFFF
_TIMEOUT = 0.5

ROOT = 0

_sequence = itertools.count(1)

_everybody = False


def allow_everybody() -> None:
    """Let all users of this machine connect to this process's listeners."""
    global _everybody  # noqa: PLW0603 - a process has one user
    _everybody = True


def everybody_is_allowed() -> bool:
    """Whether the user wants that: by a command's option, or `allow_other_users` in config.toml."""
    try:
        return _everybody or bool(defaults.of_user().get("allow_other_users"))
    except EicctlError:  # the command that needs the file says what is wrong with it
        return False


_LEFT = "the connection was closed at once, and nothing was relayed"
_STRANGER = "--allow-other-users, or allow_other_users = true in config.toml, allows all users of this machine"


class NotAllowedError(LocalError):
    """A connection of another user, or possibly of one; it says nothing about the tunnel."""


class LeftError(Exception):
    """The other end is already closed."""


def kernel() -> socket.socket | None:
    """Return a netlink socket for queries; None if the platform has none. The caller closes it.

    Open it once at start-up: when descriptors run out, a new one could not be opened.
    """
    if sys.platform != "linux":
        return None
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    except OSError:
        return None
    netlink.settimeout(_TIMEOUT)
    return netlink


def owner_of_peer(client: socket.socket, netlink: socket.socket | None) -> int | None:
    """Return the user ID of the process at the other end of an accepted connection.

    None if unknown: the platform has no sock_diag.

    Args:
        client: The accepted socket.
        netlink: From `kernel`.

    Raises:
        LeftError: The other end is closed, or hidden from a kernel that tells of others.
    """
    if netlink is None or client.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        theirs, ours = _ends(client)
        found = _ask(netlink, _question(client.family, theirs, ours))
        if found is None and _is_loopback(theirs) and _ask(netlink, _question(client.family, ours, theirs)):
            raise LeftError  # it answers about our end, so it would about the other one
    except (OSError, ValueError):
        return None
    if found is None:
        _ends(client)  # a reset may have come meanwhile
        return None
    user, inode = found
    if not inode:  # the kernel gives root as the owner of what has none
        raise LeftError
    return user


def has_owner(client: socket.socket) -> bool | None:
    """Whether a process still has the other end of a TCP connection open; None if that cannot be known.

    It cannot for a client on another machine, and where there is no sock_diag.
    """
    if not (netlink := kernel()):
        return None
    with netlink:
        try:
            return None if owner_of_peer(client, netlink) is None else True
        except LeftError:
            return False


def _ends(client: socket.socket) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Return the other end's address and ours.

    Raises:
        LeftError: The other end has reset the connection. What it has sent before could still be read.
    """
    try:
        return client.getpeername(), client.getsockname()
    except OSError as error:
        raise LeftError from error


def _ask(netlink: socket.socket, question: bytes) -> tuple[int, int] | None:
    """Return user ID and inode of a socket; None if the kernel knows none such."""
    netlink.sendto(question, (0, 0))
    sequence = _HEADER.unpack_from(question)[3]
    while _HEADER.unpack_from(data := netlink.recv(4096))[3] != sequence:
        continue  # an answer that came too late for its question
    if _HEADER.unpack_from(data)[1] != _BY_FAMILY or len(data) < _HEADER.size + _ANSWER.size:
        return None
    *_, user, inode = _ANSWER.unpack_from(data, _HEADER.size)
    return int(user), int(inode)


def refusal(client: socket.socket, netlink: socket.socket | None) -> LocalError | None:
    """Return why an accepted connection is not to be served, or None if it is.

    Served are this user, root, who can have all of this user anyway, whoever connects to an address that other machines
    reach too, and whoever cannot be told.
    """
    try:
        if not _is_loopback(client.getsockname()):
            return None
    except (OSError, ValueError, IndexError):  # a Unix socket's path has a mode of its own
        return None
    try:
        user = stranger(client, netlink)
    except LeftError:
        return NotAllowedError(
            "connection refused: the client disconnected before its user ID could be checked", hint=_LEFT
        )
    if user is None:
        return None
    return NotAllowedError(f"connection refused: user {name_of(user)} of this machine is not allowed", hint=_STRANGER)


def stranger(client: socket.socket, netlink: socket.socket | None) -> int | None:
    """Return the ID of the other user whose process has connected; None for this user, root, and an unknown one.

    Under sudo, who has called it is this user, too.

    Raises:
        LeftError: The other end is closed.
    """
    user = owner_of_peer(client, netlink)
    own = os.getuid()
    caller = os.environ.get("SUDO_UID", "") if own == ROOT else ""
    return None if user in (None, ROOT, own) or str(user) == caller else user


def name_of(user: int) -> str:
    """Return what to call a user: the name, else the number."""
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return f"number {user}"


def _question(family: int, theirs: tuple[object, ...], ours: tuple[object, ...]) -> bytes:
    """A query for the one socket whose own address is `theirs` and whose peer is `ours`."""
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _ANY_STATE)
    body += _SOCKET.pack(_port(theirs), _port(ours), _packed(theirs), _packed(ours), _LOOPBACK, _NO_COOKIE, _NO_COOKIE)
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUESTED, next(_sequence) & 0xFFFFFFFF, 0) + body


def _packed(address: tuple[object, ...]) -> bytes:
    return _ip(str(address[0])).packed.ljust(16, b"\0")


def _is_loopback(address: tuple[object, ...]) -> bool:
    return _ip(str(address[0])).is_loopback


@functools.lru_cache(64)
def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _port(address: tuple[object, ...]) -> int:
    return int(str(address[1]))
