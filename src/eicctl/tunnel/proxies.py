"""Proxies between here and the endpoint: HTTP CONNECT by http.client, SOCKS by python-socks."""

from __future__ import annotations

import base64
import os
import re
import socket
import sys
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from eicctl.errors import NetworkError, UsageError
from eicctl.logs.redact import register

_PORTS = {"http": 80, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_HINT = "the proxy comes from HTTPS_PROXY or ALL_PROXY; NO_PROXY lists hosts to reach without it"


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
    """Return the proxy for `host`, or None.

    `HTTPS_PROXY`, else `ALL_PROXY`, in lower or upper case, and `NO_PROXY` by the rules of urllib; on macOS and
    Windows the system's settings too.

    Raises:
        UsageError: The proxy's URL is not one that eicctl can use.
    """
    if sys.platform not in ("darwin", "win32") and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get("https") or proxies.get("all")
    if not url or proxy_bypass(f"{host}:{port}"):
        return None
    return _parse(url if "://" in url else f"http://{url}")


def _parse(url: str) -> Proxy:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in _PORTS:
        raise UsageError(
            "the proxy in the environment is not a URL that eicctl can use",
            hint="HTTPS_PROXY=http://[USER:PASSWORD@]HOST:PORT, or socks5://…, socks5h://…, socks4://…",
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    register(password)
    return Proxy(parts.scheme, host, port or _PORTS[parts.scheme], user, password)


def connect_through(proxy: Proxy, host: str, port: int, timeout: float) -> socket.socket:
    """Return a socket that the proxy has connected to `host`.

    Raises:
        NetworkError: The proxy does not answer, or refuses.
        UsageError: A SOCKS proxy, and python-socks is not installed.
    """
    return (_connect_http if proxy.scheme == "http" else _connect_socks)(proxy, host, port, timeout)


def _connect_http(proxy: Proxy, host: str, port: int, timeout: float) -> socket.socket:
    from http.client import HTTPConnection, HTTPException

    headers = {}
    if proxy.user or proxy.password:
        pair = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        headers["Proxy-Authorization"] = f"Basic {pair}"
    connection = HTTPConnection(proxy.host, proxy.port, timeout=timeout)
    connection.set_tunnel(host, port, headers)
    try:
        connection.connect()
    except (OSError, HTTPException, ValueError) as error:
        refusal = _refusal(proxy, host, port, error)
    else:
        sock: socket.socket = connection.sock
        return sock
    # Raised here, without its cause: http.client's exception keeps its half-read answer, and with it the socket, open.
    connection.close()
    raise refusal


def _refusal(proxy: Proxy, host: str, port: int, error: Exception) -> NetworkError:
    """Tell what http.client's exception means; the status is in its text only."""
    if status := re.match(r"Tunnel connection failed: (\d{3})", str(error)):
        code = int(status[1])
        return NetworkError(
            f"{proxy} refuses to connect to {host}:{port}: HTTP {code}",
            hint="put the proxy's user and password into HTTPS_PROXY" if code == 407 else _HINT,
            transient=code in (502, 503, 504),
        )
    if isinstance(error, OSError):
        why = error.strerror or str(error) or type(error).__name__
        return NetworkError(f"{proxy} cannot be used: {why}", hint=_HINT, transient=True)
    return NetworkError(f"{proxy} does not answer as an HTTP proxy does", hint=_HINT)


def _connect_socks(proxy: Proxy, host: str, port: int, timeout: float) -> socket.socket:
    try:
        from python_socks import ProxyError, ProxyTimeoutError, ProxyType
        from python_socks.sync import Proxy as SocksProxy
    except ImportError:
        raise UsageError(
            "a SOCKS proxy needs one more package", hint="pip install 'eicctl[socks]', or name an HTTP proxy instead"
        ) from None
    kind = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
    names_there = proxy.scheme in ("socks5h", "socks4a")
    dialler = SocksProxy(kind, proxy.host, proxy.port, proxy.user or None, proxy.password or None, rdns=names_there)
    try:
        sock: socket.socket = dialler.connect(host, port, timeout=timeout)
    except ProxyError as error:
        raise NetworkError(f"{proxy} refuses to connect to {host}:{port}: {error}", hint=_HINT) from error
    except (OSError, ProxyTimeoutError) as error:
        raise NetworkError(f"{proxy} cannot be used: {error}", hint=_HINT, transient=True) from error
    return sock
