"""Proxies between here and AWS: HTTP CONNECT, and SOCKS by python-socks.

Not by http.client: it waits for each line anew, and takes as many header lines as come.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import socket
import sys
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from eicctl.core.errors import NetworkError, UsageError
from eicctl.core.names import host_port
from eicctl.support.clock import DeadlineSocket
from eicctl.support.redact import register

_PORTS = {"http": 80, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_HINT = "the proxy comes from HTTPS_PROXY or ALL_PROXY; NO_PROXY lists hosts to connect to directly"

LONGEST_HEAD, MOST_LINES = 65536, 128
"""Bytes and lines that a proxy's answer may have."""

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})[ \r\n]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and, where its URL has them, the user and password for it."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"proxy {self.host}:{self.port}"


def proxy_for(host: str, port: int) -> Proxy | None:
    """Return the proxy for `host`, or None: see `proxy_url`.

    Raises:
        UsageError: The proxy's URL is not one that eicctl can use.
    """
    url = proxy_url(host, port)
    return parse_proxy(url) if url else None


def proxy_url(host: str, port: int, scheme: str = "https") -> str | None:
    """Return the URL of the proxy for `host`, as the user has written it, or None.

    `HTTPS_PROXY` (by the scheme), else `ALL_PROXY`, in lower or upper case, and `NO_PROXY` by the rules of urllib; on
    macOS and Windows the system's settings too.
    """
    if sys.platform in ("darwin", "win32"):
        return _looked_up(host, port, scheme, ())
    # Each tunnel asks, and urllib reads the whole environment several times.
    variables = tuple((name, os.environb[name]) for name in os.environb if name[-6:].lower() == b"_proxy")
    return _looked_up_once(host, port, scheme, variables) if variables else None


def _looked_up(host: str, port: int, scheme: str, _variables: tuple[tuple[bytes, bytes], ...]) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    return None if not url or proxy_bypass(f"{host}:{port}") else url


_looked_up_once = functools.lru_cache(64)(_looked_up)


def parse_proxy(url: str) -> Proxy:
    """Return what a proxy's URL says; without a scheme it is an HTTP proxy.

    Raises:
        UsageError: It is not one that eicctl can use.
    """
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in _PORTS:
        raise UsageError(
            "The proxy in the environment is not a URL that eicctl can use",
            hint="HTTPS_PROXY=http://[USER:PASSWORD@]HOST:PORT, or socks5://…, socks5h://…, socks4://…",
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    register(password)
    return Proxy(parts.scheme, host, port or _PORTS[parts.scheme], user, password)


def connect_through(proxy: Proxy, sock: socket.socket, host: str, port: int, timeout: float) -> socket.socket:
    """Have the proxy connect to `host`; return the socket, which does not stay the caller's to close if that fails.

    Args:
        proxy: Where `sock` is connected to.
        sock: A TCP connection.
        host: Where to.
        port: Its port.
        timeout: Seconds for all of it.

    Raises:
        NetworkError: The proxy does not answer in time, or refuses.
        UsageError: A SOCKS proxy, and python-socks is not installed.
    """
    with DeadlineSocket(sock, timeout) as timed:
        try:
            (_connect_http if proxy.scheme == "http" else _connect_socks)(proxy, timed, host, port)
        except OSError as error:  # a time-out, or the connection broke
            raise unusable(proxy, error.strerror or str(error) or type(error).__name__) from error
        return socket.socket(fileno=timed.detach())


def unusable(proxy: Proxy, why: str) -> NetworkError:
    """Return the error for a proxy that cannot be reached, or breaks the connection."""
    return NetworkError(f"{proxy} cannot be used: {why}", hint=_HINT, transient=True)


def _connect_http(proxy: Proxy, sock: socket.socket, host: str, port: int) -> None:
    where = host_port(host, port)
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.user or proxy.password:
        pair = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {pair}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while not (end := _END_OF_HEAD.search(head)):
        data = sock.recv(4096)
        head += data
        if not data or len(head) > LONGEST_HEAD or head.count(b"\n") > MOST_LINES:
            break
    status = _STATUS.match(head)
    if not end or not status:
        raise NetworkError(f"{proxy} does not respond like an HTTP proxy", hint=_HINT)
    if not status[1].startswith(b"2"):
        code = int(status[1])
        raise NetworkError(
            f"{proxy} refuses to connect to {host}:{port}: HTTP {code}",
            hint="set the proxy's user and password in HTTPS_PROXY" if code == 407 else _HINT,
            transient=code in (502, 503, 504),
        )


def _connect_socks(proxy: Proxy, sock: socket.socket, host: str, port: int) -> None:
    try:
        from python_socks import ProxyError, ProxyTimeoutError, ProxyType
        from python_socks.sync import Proxy as SocksProxy
    except ImportError:
        raise UsageError(
            "SOCKS proxies require the package python-socks",
            hint="pip install 'eicctl[socks]', or use an HTTP proxy",
        ) from None

    class Connected(SocksProxy):
        """Stands for a proxy before this one: it returns the open connection."""

        def connect(self, *_: object, **__: object) -> socket.socket:
            return sock

    kind = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
    names_there = proxy.scheme in ("socks5h", "socks4a")
    dialler = SocksProxy(
        kind,
        proxy.host,
        proxy.port,
        proxy.user or None,
        proxy.password or None,
        rdns=names_there,
        forward=Connected(kind, "", 0),
    )
    try:
        dialler.connect(host, port)
    except ProxyError as error:
        raise NetworkError(f"{proxy} refuses to connect to {host}:{port}: {error}", hint=_HINT) from error
    except ProxyTimeoutError as error:
        raise unusable(proxy, "timed out") from error
