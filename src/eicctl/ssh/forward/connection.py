"""One SSH connection (asyncssh) over one tunnel."""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncssh

from eicctl.core.errors import DeniedError, EicctlError, UnreachableError
from eicctl.core.events import CloseInfo
from eicctl.core.model import Target
from eicctl.core.names import host_port
from eicctl.ssh.forward.login import AsyncsshLogin, HostKeys
from eicctl.ssh.login import PUSHED_FOR, is_stale, refused
from eicctl.support.threads import in_thread
from eicctl.tunnel.dial import RETRY_BUDGET, Dialer, Link, open_link
from eicctl.tunnel.local_streams import SocketEnd
from eicctl.tunnel.relay import END_AT_EOF, Relay

KEEP_ALIVE = 15
"""Seconds of silence after which the server is sent a keepalive request."""

KEEP_ALIVE_TRIES = 3
"""Unanswered keepalive requests after which the connection counts as lost."""

LOGIN_TIMEOUT = 30
"""Seconds for the SSH handshake and the login."""

WINDOW = 2**19
"""Bytes that a forwarded connection may receive before its client reads them. asyncssh holds up to two windows."""

EOF_DELAY = 0.05
"""Seconds between a server's last bytes and its EOF."""

_CLOSED = "SSH connection closed"
"""asyncssh's reason for a channel whose connection is lost; it may come before the connection's own callback."""

Streams = tuple["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"]


@dataclass(frozen=True, slots=True)
class Remote:
    """What the jump host connects to: a host and a port, or a Unix socket of its own."""

    host: str = "localhost"
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return host_port(self.host, self.port)


class _LateEof(SocketEnd):
    """A socket whose EOF comes a moment after the last bytes.

    asyncssh ends at once by an EOF, whatever it has just received: a server that refuses the key exchange and closes
    would be a lost connection, which is tried again, and not the error that it is.
    """

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(sock)
        self._loop = loop

    def end_writing(self) -> bool:
        self._loop.call_later(EOF_DELAY, super().end_writing)
        return True


class RefusedByHostError(EicctlError):
    """The SSH server does not connect to the requested destination."""


class SshConnection:
    """An open SSH connection.

    Attributes:
        target: The machine.
        opened: When its tunnel was opened, by the loop's clock.
        expires: When the service will end it, by the loop's clock.
        writable: Is set while the tunnel takes what is sent.
        lost: Is set when the connection has ended, whoever ended it.
        ending: How its tunnel has ended, once it has.
        cut: How many forwarded connections ended with it.
        uses: How many forwarded connections use it.
        offered: A host key that the server has shown and that is not accepted, or None.
        failure: Why a new host key could not be kept, or None.
    """

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        self.target = target
        # The loop's clock, and that of a link, is time.monotonic().
        self.opened = link.opened
        self.expires = link.opened + link.max_duration
        self.max_duration = link.max_duration
        self.writable = asyncio.Event()
        self.writable.set()
        self.lost = asyncio.Event()
        self.ending: CloseInfo | None = None
        self.cut = 0
        self.offered: asyncssh.SSHKey | None = None
        self.failure: EicctlError | None = None
        self._loop = loop
        self._link = link
        self.uses = 0
        self._retired = False
        self._tunnel_ended = asyncio.Event()
        self._connection: asyncssh.SSHClientConnection

    async def open(self, remote: Remote) -> Streams:
        """Connect to a destination from the jump host.

        Raises:
            RefusedByHostError: The server cannot or may not connect there.
            ConnectionError: This SSH connection is lost.
        """
        try:
            if remote.path:
                return await self._connection.open_unix_connection(remote.path, window=WINDOW)
            return await self._connection.open_connection(remote.host, remote.port, window=WINDOW)
        except asyncssh.ChannelOpenError as error:
            if self.lost.is_set() or self._connection.is_closed() or error.reason == _CLOSED:
                raise ConnectionError("the SSH connection is lost") from error
            raise _refused(error, self.target, remote) from error
        except (asyncssh.Error, OSError) as error:
            raise ConnectionError(f"the SSH connection is lost: {error}") from error

    def begin(self) -> None:
        """Count a forwarded connection."""
        self.uses += 1

    def end(self) -> None:
        """Count its end. The last one of a retired connection closes that."""
        self.uses -= 1
        if self._retired and not self.uses:
            self._connection.close()

    def retire(self) -> None:
        """Close as soon as no forwarded connection uses it, which may be now."""
        self._retired = True
        if not self.uses:
            self._connection.close()

    async def close(self) -> None:
        """End it with all its forwarded connections."""
        self._connection.close()
        try:
            async with asyncio.timeout(1):
                await self._tunnel_ended.wait()
        except TimeoutError:
            self._relay.abort()

    def note_end(self) -> None:
        """Note that it has ended, or is useless."""
        if not self.lost.is_set():
            self.cut = self.uses
            self.lost.set()
            self.writable.set()

    async def start(self, login: AsyncsshLogin, keys: Sequence[asyncssh.SSHKey] | None, host_keys: HostKeys) -> None:
        """Log in.

        Raises:
            EicctlError: Why that failed; the tunnel is closed then.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._relay = Relay(self._loop, self._link, _LateEof(theirs, self._loop), on_end=self._ended, linger=END_AT_EOF)
        self._relay.start()
        _introduce_user(login.user.name)
        own: dict[str, Any] = {"client_keys": list(keys), "agent_path": None} if keys is not None else {}
        try:
            self._connection = await asyncssh.connect(
                host_keys.name,
                sock=ours,
                client_factory=lambda: _Client(self, host_keys),
                known_hosts=None if host_keys.strict == "no" else (list(host_keys.trusted), [], []),
                username=login.user.name,
                config=None,
                preferred_auth="publickey",
                compression_algs=["none"],
                keepalive_interval=KEEP_ALIVE,
                keepalive_count_max=KEEP_ALIVE_TRIES,
                connect_timeout=LOGIN_TIMEOUT,
                login_timeout=LOGIN_TIMEOUT,
                **own,
            )
        except BaseException as error:
            ours.close()
            await self._await_close_info()
            self._relay.abort()
            if isinstance(error, (asyncssh.Error, OSError, ValueError)):
                raise await in_thread(functools.partial(self._explained, error, login, host_keys)) from error
            raise

    async def _await_close_info(self) -> None:
        """Wait a moment for the reason why a tunnel has just ended."""
        try:
            async with asyncio.timeout(0.3):
                await self._tunnel_ended.wait()
        except TimeoutError:
            return

    def _explained(self, error: Exception, login: AsyncsshLogin, host_keys: HostKeys) -> EicctlError:
        """Return the error that the user sees. May ask AWS for the reasons."""
        label = self.target.label
        if self.failure:
            return self.failure
        if isinstance(error, asyncssh.PermissionDenied):
            return DeniedError(f"{label} refused the login of {login.user.name}", hint=refused(login))
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return login.host_key_error(self.offered)
        if isinstance(error, asyncssh.KeyExchangeFailed) and host_keys.trusted:
            return login.host_key_error(None)  # it has no key of the types that are known
        if self.ending and self.ending.error:
            return self.ending.error
        if isinstance(error, TimeoutError):
            return UnreachableError(f"The SSH server of {label} does not respond", transient=True)
        return UnreachableError(f"The SSH connection to {label} failed: {error}", transient=True)

    def _ended(self, ending: CloseInfo) -> None:
        self.ending = ending
        self._tunnel_ended.set()


def _introduce_user(name: str) -> None:
    """Give asyncssh the local name and home that it needs: in a container the user may have a number only."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = name
    if os.path.expanduser("~") == "~":  # noqa: PTH111
        os.environ["HOME"] = os.devnull  # below which nothing is


def _refused(error: asyncssh.ChannelOpenError, target: Target, remote: Remote) -> RefusedByHostError:
    reason = str(error.reason).strip() or f"code {error.code}"
    hint = None
    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        hint = f"sshd of {target.label} forbids it (AllowTcpForwarding, PermitOpen) or cannot resolve the name"
    elif error.code == asyncssh.OPEN_CONNECT_FAILED:
        hint = f"check that it listens, and that its security groups allow {target.label}"
    return RefusedByHostError(f"{target.label} cannot connect to {remote}: {reason}", hint=hint, exit_code=5)


async def connect(
    dialer: Dialer,
    login: AsyncsshLogin,
    *,
    retry_budget: float = RETRY_BUDGET,
    waiting: Callable[[EicctlError], None] | None = None,
) -> SshConnection:
    """Open a tunnel and log in.

    Args:
        dialer: Opens the tunnel.
        login: How to log in.
        retry_budget: See `Dialer.open`.
        waiting: Called on the loop before a dial that failed for a passing reason is tried again.

    Raises:
        EicctlError: Why that failed.
    """
    loop = asyncio.get_running_loop()
    # Pushing a key, looking host keys up and dialling do not depend on each other; a pushed key is good for a minute.
    dial = open_link(dialer, retry_budget=retry_budget, retrying=waiting)
    opening = loop.create_task(dial)
    try:
        keys, host_keys = await asyncio.gather(in_thread(login.keys), in_thread(login.host_keys))
    except BaseException:
        opening.add_done_callback(_close_link)
        opening.cancel()
        raise
    pushed = time.monotonic()
    link = await opening
    if is_stale(link):
        link.close()
        link = await open_link(dialer, retry_budget=retry_budget, retrying=waiting)
    if time.monotonic() - pushed > PUSHED_FOR:
        try:
            keys = await in_thread(login.keys)
        except BaseException:
            link.close()
            raise
    connection = SshConnection(dialer.target, loop, link)
    await connection.start(login, keys, host_keys)
    return connection


def _close_link(opening: asyncio.Task[Link]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class _Client(asyncssh.SSHClient):
    """asyncssh's callbacks."""

    def __init__(self, connection: SshConnection, host_keys: HostKeys) -> None:
        self._connection = connection
        self._host_keys = host_keys

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        # asyncssh ignores what the transport tells it of its buffer.
        conn.pause_writing = self._connection.writable.clear  # type: ignore[method-assign]
        conn.resume_writing = self._connection.writable.set  # type: ignore[method-assign]

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        try:
            if self._host_keys.accept(key):
                return True
            self._connection.offered = key
        except EicctlError as error:
            self._connection.failure = error
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.note_end()
