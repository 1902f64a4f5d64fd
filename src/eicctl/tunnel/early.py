"""A TLS connection with an endpoint that is under way before anybody can use it: websockets is imported meanwhile."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future

from eicctl.core.errors import EicctlError
from eicctl.tunnel.connect import CONNECT_TIMEOUT, connect, split_host
from eicctl.tunnel.tls import Trust, trust
from eicctl.tunnel.tls_stream import SecureSocket

_under_way: dict[tuple[str, int, int], Future[SecureSocket]] = {}


def begin(endpoint_dns_name: str, ca_bundle: str | None) -> None:
    """Connect to an endpoint in a thread. What goes wrong is told to who takes the connection."""
    with contextlib.suppress(EicctlError):
        host, port = split_host(endpoint_dns_name)
        trusted = trust(ca_bundle)
        future: Future[SecureSocket] = Future()
        _under_way[host, port, id(trusted)] = future
        threading.Thread(target=_connect, args=(future, host, port, trusted), daemon=True).start()


def taken(host: str, port: int, trusted: Trust) -> SecureSocket | None:
    """Return the connection that was begun, once; None where none was.

    Raises:
        EicctlError: Why it has failed.
    """
    future = _under_way.pop((host, port, id(trusted)), None)
    return future.result() if future else None


def _connect(future: Future[SecureSocket], host: str, port: int, trusted: Trust) -> None:
    try:
        future.set_result(trusted.secured(connect(host, port, CONNECT_TIMEOUT), host, port))
    except BaseException as error:
        future.set_exception(error)
