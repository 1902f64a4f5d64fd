"""Requests to AWS's API by the proxies that tunnels use: botocore knows neither SOCKS nor `ALL_PROXY`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from eicctl.support.proxies import Proxy, connect_through, parse_proxy, proxy_url, unusable

if TYPE_CHECKING:
    import botocore.session


def use_proxies(core: botocore.session.Session) -> None:
    """Have every client of a session, those for roles and SSO too, use the proxy of its URL."""
    create = core.create_client

    def create_client(*words: Any, **more: Any) -> Any:
        client = create(*words, **more)
        _adopt(client)
        return client

    core.create_client = create_client  # type: ignore[method-assign]


def _adopt(client: Any) -> None:
    url = urlsplit(client.meta.endpoint_url)
    proxy = proxy_url(url.hostname or "", url.port or (443 if url.scheme == "https" else 80), url.scheme)
    if not proxy or proxy.startswith("https:"):  # one that itself speaks TLS is botocore's
        return
    http = client._endpoint.http_session
    found = parse_proxy(proxy)
    if found.scheme == "http":
        http._proxy_config._proxies = {url.scheme: proxy}
        return
    pools = _pools(found)
    http._proxy_config._proxies = {}
    http._pool_classes_by_scheme = http._manager.pool_classes_by_scheme = pools


def _pools(proxy: Proxy) -> dict[str, type]:
    """Connections as botocore makes them, but for the socket."""
    from botocore import awsrequest

    def dial(connection: Any) -> socket.socket:
        timeout = connection.timeout
        try:
            sock = socket.create_connection((proxy.host, proxy.port), timeout)
        except OSError as error:
            raise unusable(proxy, error.strerror or str(error)) from error
        sock = connect_through(proxy, sock, connection.host, connection.port, timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        return sock

    class Plain(awsrequest.AWSHTTPConnection):
        _new_conn = dial

    class Secure(awsrequest.AWSHTTPSConnection):
        _new_conn = dial

    class PlainPool(awsrequest.AWSHTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(awsrequest.AWSHTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
