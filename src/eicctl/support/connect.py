"""A TCP connection to the endpoint."""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import time
from typing import Any

from eicctl.core.errors import NetworkError, UsageError
from eicctl.support.proxies import Proxy, connect_through, proxy_for, unusable

_log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds for each stage of a dial: TCP, the proxy's answer, TLS, the handshake."""

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside the one under way (RFC 8305, section 5)."""

KEEP_ALIVE_IDLE, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_PROBES = 30, 8, 3
"""Seconds of silence before the kernel asks the other side whether it is there, seconds until it asks again, and how
often it asks in vain."""

Address = tuple[int, Any]
"""A family and a socket address of it."""


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Return a connected socket with TCP_NODELAY, in blocking mode with `timeout` seconds.

    Raises:
        NetworkError: The name does not resolve, nothing answers, or the proxy refuses.
        UsageError: The proxy's URL is not one that eicctl can use.
    """
    proxy = proxy_for(host, port)
    started = time.monotonic()
    if proxy:
        sock = connect_by(proxy, host, port, timeout)
        _log.debug("%s has connected to %s:%d in %.0f ms", proxy, host, port, 1000 * (time.monotonic() - started))
    else:
        addresses = resolve(host, port)
        resolved = time.monotonic()
        sock = first_to_answer(addresses, host, port, timeout)
        _log.debug(
            "resolved %s in %.0f ms (addresses: %d), TCP to %s in %.0f ms",
            host,
            1000 * (resolved - started),
            len(addresses),
            peer_address(sock),
            1000 * (time.monotonic() - resolved),
        )
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(sock)
    except OSError as error:  # the other side has reset the connection already; macOS says EINVAL
        sock.close()
        raise _failed(host, port, errno.ECONNRESET) from error
    return sock


def connect_by(proxy: Proxy, host: str, port: int, timeout: float) -> socket.socket:
    """Return a socket that the proxy has connected to `host`; both TCP and the proxy's work have `timeout` seconds.

    Raises:
        NetworkError: The proxy does not answer, or refuses.
        UsageError: A SOCKS proxy, and python-socks is not installed.
    """
    try:
        sock = first_to_answer(resolve(proxy.host, proxy.port), proxy.host, proxy.port, timeout)
    except NetworkError as error:
        raise unusable(proxy, error.message) from error
    return connect_through(proxy, sock, host, port, timeout)


def resolve(host: str, port: int) -> list[Address]:
    """Return the host's addresses so that the families take turns (RFC 8305, section 4)."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NetworkError(
            f"Cannot resolve {host}: {getattr(error, 'strerror', None) or error}",
            hint="check this machine's DNS and network; behind a proxy, set HTTPS_PROXY",
            transient=getattr(error, "errno", None) == socket.EAI_AGAIN,
        ) from error
    addresses = [(int(family), address) for family, _, _, _, address in found]
    same = [pair for pair in addresses if pair[0] == addresses[0][0]]
    other = [pair for pair in addresses if pair[0] != addresses[0][0]]
    turns = [pair for turn in zip(same, other, strict=False) for pair in turn]
    return turns + same[len(other) :] + other[len(same) :]


def first_to_answer(addresses: list[Address], host: str, port: int, timeout: float) -> socket.socket:
    """Connect to the first address that answers; a slow one does not hold up the next."""
    deadline = time.monotonic() + timeout
    waiting = addresses[::-1]
    trying: set[socket.socket] = set()
    failure = errno.ETIMEDOUT
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or trying:
                if waiting:
                    sock, code = _begin(waiting.pop())
                    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                        sock.close()
                        failure = code
                        continue
                    trying.add(sock)
                    selector.register(sock, selectors.EVENT_WRITE, sock)
                left = deadline - time.monotonic()
                if left <= 0:
                    failure = errno.ETIMEDOUT
                    break
                for key, _ in selector.select(min(left, ATTEMPT_DELAY) if waiting else left):
                    sock = _socket_of(key)
                    selector.unregister(sock)
                    trying.discard(sock)
                    failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if failure == 0:
                        return sock
                    sock.close()
        finally:
            for sock in trying:
                sock.close()
    raise _failed(host, port, failure)


def _failed(host: str, port: int, code: int) -> NetworkError:
    return NetworkError(
        f"Cannot connect to {host}:{port}: {os.strerror(code)}",
        hint="check that this network allows outbound TCP to that port; behind a proxy, set HTTPS_PROXY",
        transient=True,
    )


def _begin(address: Address) -> tuple[socket.socket, int]:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock, sock.connect_ex(address[1])


def _socket_of(key: selectors.SelectorKey) -> socket.socket:
    sock: socket.socket = key.data
    return sock


def peer_address(sock: socket.socket) -> str:
    """Return the address at the other end, or "?" when that end has reset the connection already."""
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return "?"


def _keep_alive(sock: socket.socket) -> None:
    """Let the kernel notice within a minute that the other side is gone, also when nothing is sent."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = {
        "TCP_KEEPIDLE": KEEP_ALIVE_IDLE,
        "TCP_KEEPALIVE": KEEP_ALIVE_IDLE,  # macOS's name
        "TCP_KEEPINTVL": KEEP_ALIVE_INTERVAL,
        "TCP_KEEPCNT": KEEP_ALIVE_PROBES,
    }
    for name, value in values.items():
        if option := getattr(socket, name, None):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def split_host(dns_name: str) -> tuple[str, int]:
    """Return the host and the port of `HOST[:PORT]`; the port is 443 where none is given.

    Raises:
        UsageError: It is not of that form.
    """
    host, colon, digits = dns_name.rpartition(":")
    if not colon or dns_name.endswith("]"):
        host, digits = dns_name, "443"
    host = host.removeprefix("[").removesuffix("]")
    if (
        not host
        or not digits.isdigit()
        or not 0 < int(digits) < 65536
        or any(c in "/?#@\\" or c.isspace() or not c.isprintable() for c in host)
    ):
        raise UsageError(f"Not a host name with an optional port: {dns_name!r}", hint="HOST or HOST:PORT")
    return host, int(digits)
