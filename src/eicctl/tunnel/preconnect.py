"""A TLS connection for the next tunnel to an endpoint, made before it is wanted: such a tunnel costs one round trip.

Nothing is sent over it before it is used, so it takes none of the endpoint's 20 connections, and leaves no record.
Processes that are likely to open another tunnel call `enable`.

Start a TLS connection to an endpoint early: websockets is imported meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from concurrent.futures import Future

from eicctl.core.errors import EicctlError
from eicctl.support import defaults
from eicctl.support.connect import CONNECT_TIMEOUT, connect, split_host
from eicctl.support.proxies import Proxy, proxy_for
from eicctl.support.tls import SecureSocket, Trust, trust

_log = logging.getLogger(__name__)

_under_way: dict[tuple[str, int, int], Future[SecureSocket]] = {}


def begin(endpoint_dns_name: str, ca_bundle: str | None) -> None:
    """Connect to an endpoint in a thread. An error is raised when the connection is taken."""
    with contextlib.suppress(EicctlError):
        host, port = split_host(endpoint_dns_name)
        trusted = trust(ca_bundle)
        future: Future[SecureSocket] = Future()
        _under_way[host, port, id(trusted)] = future
        threading.Thread(target=_connect, args=(future, host, port, trusted), daemon=True).start()


def taken(host: str, port: int, trusted: Trust) -> SecureSocket | None:
    """Return the connection that was begun, once; None if none was.

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


VARIABLE = "EICCTL_SPARE"
_ON, _OFF = ("1", "on", "true", "yes"), ("0", "off", "false", "no")

KEPT_FOR = 30.0
"""Seconds after which a spare connection that nobody has taken is closed."""

WHILE_USED = 60.0
"""Seconds for which there is one after the last tunnel to the endpoint was opened."""

_lock = threading.Lock()
_enabled = False

Key = tuple[str, int, int, Proxy | None]
"""Host, port, whom to trust (`id`), and the proxy."""


def enable() -> None:
    """Keep spare connections in this process, unless the user does not want it."""
    global _enabled  # noqa: PLW0603 - what it is for is a matter of the process
    said = os.environ.get(VARIABLE, "").lower()
    try:
        _enabled = said in _ON or (said not in _OFF and bool(defaults.of_user().get("spare", True)))
    except EicctlError:  # the command that needs the file says what is wrong with it
        _enabled = True


def take(host: str, port: int, trust: Trust) -> SecureSocket | None:
    """Return the spare connection with an endpoint, for the caller to close; None if there is none that is open."""
    with _lock:
        keeper = _keepers.get(_key(host, port, trust)) if _enabled else None
    return keeper.take() if keeper else None


def used(host: str, port: int, trust: Trust) -> None:
    """Note that a tunnel to an endpoint was opened: from now on a spare connection is kept, for a while."""
    if not _enabled:
        return
    key = _key(host, port, trust)
    with _lock:
        if keeper := _keepers.get(key):
            keeper.last_use = time.monotonic()
            return
        keeper = _keepers[key] = _Keeper(key, trust)
    threading.Thread(target=keeper.run, name="spare connection", daemon=True).start()


def drop() -> None:
    """Close all of them, because their descriptors are wanted."""
    with _lock:
        keepers = list(_keepers.values())
    for keeper in keepers:
        keeper.last_use = -math.inf
        if stream := keeper.take():
            stream.close()


def _key(host: str, port: int, trust: Trust) -> Key:
    return host, port, id(trust), proxy_for(host, port)


class _Keeper:
    """Keeps one connection ready as long as its endpoint is used; `run` is a thread of its own.

    Attributes:
        last_use: When the last tunnel was opened (`time.monotonic()`).
    """

    def __init__(self, key: Key, trust: Trust) -> None:
        self.last_use = time.monotonic()
        self._key = key
        self._trust = trust  # it lives as long as its `id` is in the key
        self._lock = threading.Lock()
        self._taken = threading.Event()
        self._stream: SecureSocket | None = None

    def take(self) -> SecureSocket | None:
        """Return the connection, if there is one and it is open."""
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is None:
            return None
        self._taken.set()
        if stream.idle():
            stream.settimeout(CONNECT_TIMEOUT)
            return stream
        stream.close()
        return None

    def run(self) -> None:
        """Make one, again and again."""
        while not self._over():
            self._taken.clear()
            try:
                host, port, *_ = self._key
                stream = self._trust.secured(connect(host, port, CONNECT_TIMEOUT), host, port)
            except (EicctlError, OSError) as error:
                _log.debug("no spare connection: %s", error)
                self.last_use = -math.inf  # the next tunnel tries anew
                continue
            with self._lock:
                self._stream = stream
            if self.last_use != -math.inf:  # dropped while it was made
                self._taken.wait(KEPT_FOR)
            with self._lock:
                old, self._stream = self._stream, None
            if old is not None:
                old.close()

    def _over(self) -> bool:
        with _lock:
            if time.monotonic() - self.last_use <= WHILE_USED:
                return False
            del _keepers[self._key]
            return True


_keepers: dict[Key, _Keeper] = {}
