"""What the background process does for a client that waits: the tunnel of an `eicctl proxy`, or a login's settings.

`agent.delegate` is the client's side.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import asdict
from functools import partial
from typing import Any

from eicctl.agent import protocol
from eicctl.agent.delegate import DECLINED, ENDED, NOTE, OPENING, READY
from eicctl.aws.caches import note_login
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, TargetUnreachableError, to_json
from eicctl.core.events import CloseInfo
from eicctl.core.request import ConnectRequest
from eicctl.ssh.openssh_options import new_login_settings
from eicctl.ssh.proxy_tunnel import Opening
from eicctl.support import defaults
from eicctl.support.threads import begin, in_thread
from eicctl.tunnel.dial import Link
from eicctl.tunnel.local_streams import DescriptorEnd
from eicctl.tunnel.relay import PIPE_CLOSE_TIMEOUT, PIPES, Linger, Relay

MOST_DESCRIPTORS = 3
"""File descriptors that a client may pass with its first message: its stdin, stdout and stderr."""


class Connection:
    """One client. Messages come with the file descriptors that were sent along.

    Args:
        sock: The accepted socket. It is closed by `close`.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._sending = asyncio.Lock()
        self.descriptors: list[int] = []

    async def receive(self) -> protocol.Message | None:
        """Return the next message, or None at the end.

        Raises:
            WireError: What came is not a message.
            OSError: The connection broke.
        """
        while not (end := self._buffer.find(b"\n") + 1):
            if len(self._buffer) > protocol.LONGEST:
                raise protocol.WireError("a message is too long")
            await self._readable()
            data, descriptors, _, _ = socket.recv_fds(self._sock, 65536, MOST_DESCRIPTORS)
            self.descriptors += descriptors
            if len(self.descriptors) > MOST_DESCRIPTORS:
                raise protocol.WireError("too many file descriptors")
            if not data and self._buffer:
                raise protocol.WireError("the end came within a message")
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        return protocol.decode(line)

    async def send(self, message: protocol.Message) -> None:
        """Send a message."""
        async with self._sending:
            await self._loop.sock_sendall(self._sock, protocol.encode(message))

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    async def _readable(self) -> None:
        ready = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self._loop.add_reader(self._sock.fileno(), wake)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._sock.fileno())


STILL_THERE = 1.0
"""Seconds between two messages to a client that waits, so that it knows that the process is not stuck."""

GO_TIMEOUT = 30.0
"""Seconds for which a client may leave an open tunnel unused: it has been stopped, then, or has given up."""


class ClientGoneError(Exception):
    """The client has gone, or has broken the protocol."""


class PendingTunnel:
    """A tunnel that is being opened, in a thread.

    Args:
        request: What is to be opened.
        session: Access to AWS.

    Attributes:
        work: Is done when the tunnel is open.
        opening: What opens it; None before that.
        notes: What the user should know and has not been sent.
    """

    def __init__(self, request: ConnectRequest, session: Session) -> None:
        self.opening: Opening | None = None
        self.notes: list[str] = []
        self._stack = contextlib.ExitStack()

        def open_() -> Link:
            self.opening = Opening(session, request, self.notes.append)
            return self._stack.enter_context(self.opening.opened())

        self.work = asyncio.ensure_future(in_thread(open_, lambda link: begin(partial(self._close, link))))

    async def end(self) -> None:
        """Give the tunnel up, or close it."""
        self.work.cancel()
        if self.work.done() and not self.work.cancelled() and not self.work.exception():
            await in_thread(partial(self._close, self.work.result()))

    def _close(self, link: Link) -> None:
        """Close what the connection has had; closing it again does nothing."""
        link.close()
        self._stack.close()


class ProxySession:
    """One `eicctl proxy`, served in the event loop.

    Args:
        client: Its connection, with the two descriptors that it passes.
        request: What is to be opened.
        session: Access to AWS.
        pending: The tunnels that were begun for logins, by session folder; the one of this client is used.
    """

    def __init__(
        self, client: Connection, request: ConnectRequest, session: Session, pending: dict[str, PendingTunnel]
    ) -> None:
        self._client = client
        self._request = request
        self._session = session
        self._pending = pending
        self._loop = asyncio.get_running_loop()

    async def serve(self) -> None:
        """Open the tunnel, relay the client's stdin and stdout until one side ends, and report how that was.

        Raises:
            WireError: The client sends what is not a message.
            OSError: The client is gone.
        """
        if len(self._client.descriptors) != 2 or not _may_delegate():
            await self._send(DECLINED)
            return
        begun = self._pending.pop(self._request.session_folder, None)
        tunnel = begun or PendingTunnel(self._request, self._session)
        try:
            link = await self._opened(tunnel)
            await self._send(READY, MaxDuration=link.max_duration)
            await self._confirmed()
            await self._relay(link, tunnel)
        except EicctlError as error:
            if error.needs_terminal:  # the client may have one
                await self._send(DECLINED)
            else:
                await self._send_end(tunnel, error)
        except ClientGoneError:
            return
        finally:
            await tunnel.end()

    async def _opened(self, tunnel: PendingTunnel) -> Link:
        """Wait for the tunnel; meanwhile send its notes, and show that the process is not stuck.

        Raises:
            ClientGoneError: The client goes away first.
            EicctlError: The tunnel cannot be opened.
        """
        message = asyncio.ensure_future(self._client.receive())
        try:
            while True:
                waited: set[asyncio.Future[Any]] = {tunnel.work, message}
                await asyncio.wait(waited, timeout=STILL_THERE, return_when=asyncio.FIRST_COMPLETED)
                while tunnel.notes:
                    await self._send(NOTE, Text=tunnel.notes.pop(0))
                if tunnel.work.done():
                    return tunnel.work.result()
                if message.done():  # it has nothing to say now: this is its end
                    raise ClientGoneError
                await self._send(OPENING)
        finally:
            message.cancel()
            await asyncio.wait({message})

    async def _confirmed(self) -> None:
        """Wait for the client's `go`: only then may its stdin be read.

        Raises:
            ClientGoneError: Another message comes, or none in time.
        """
        try:
            async with asyncio.timeout(GO_TIMEOUT):
                message = await self._client.receive()
        except TimeoutError as error:
            raise ClientGoneError from error
        if message is None or message.get("Do") != "go":
            raise ClientGoneError

    async def _relay(self, link: Link, tunnel: PendingTunnel) -> None:
        """Relay bytes until one side ends, and report it, unless the client is gone: that ends the tunnel."""
        reading, writing = self._client.descriptors
        self._client.descriptors.clear()  # they are the relay's
        ended: asyncio.Future[CloseInfo] = self._loop.create_future()
        done = asyncio.Event()
        relay = Relay(
            self._loop,
            link,
            DescriptorEnd(reading, writing, owned=True),
            on_end=ended.set_result,
            on_done=done.set,
            linger=Linger.of(self._request.linger, PIPES),
            close_timeout=PIPE_CLOSE_TIMEOUT,
        )
        message = asyncio.ensure_future(self._client.receive())
        relay.start()
        try:
            waited: set[asyncio.Future[Any]] = {ended, message}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if message.done():  # the client has gone
                relay.interrupt()
            else:
                ending = ended.result()
                if tunnel.opening and isinstance(ending.error, TargetUnreachableError):
                    await in_thread(tunnel.opening.forget)
                await self._send_end(tunnel, ending.error, ending.request_id, ending.duration)
            await done.wait()
        except BaseException:
            relay.abort()
            raise
        finally:
            message.cancel()
            await asyncio.wait({message})  # before the socket is closed: its number is another one's then

    async def _send_end(
        self, tunnel: PendingTunnel, error: EicctlError | None, request_id: str = "", lived: float = 0.0
    ) -> None:
        """Report the end; of an error, all that the client needs to look for its cause."""
        fields: protocol.Message = {}
        if error:
            fields = to_json(error)
            fields["RequestId"] = fields["RequestId"] or request_id or None
            opening = tunnel.opening
            if opening and opening.target:
                session = opening.session
                about = {"Profile": session.profile, "Region": session.given_region, "Target": asdict(opening.target)}
                fields |= about
        await self._send(ENDED, Lived=lived, **fields)

    async def _send(self, stage: str, **more: Any) -> None:
        await self._client.send({"Ok": True, "Stage": stage, **more})


async def serve_login(
    client: Connection, request: ConnectRequest, key: str, session: Session, pending: dict[str, PendingTunnel]
) -> None:
    """Answer with OpenSSH's settings for a login, and open the tunnel for which its ProxyCommand will ask.

    Args:
        client: The command that runs OpenSSH. When it goes, a tunnel that was not asked for is given up.
        request: The target and the login.
        key: The login's key in `aws.caches`.
        session: Access to AWS.
        pending: Has the tunnel by the session's folder until it is asked for.

    Raises:
        WireError, OSError: The client is gone.
    """
    try:
        if not _may_delegate():
            raise EicctlError("not wanted")
        settled = asyncio.ensure_future(in_thread(partial(new_login_settings, session, request)))
        try:
            while not (await asyncio.wait({settled}, timeout=STILL_THERE))[0]:
                await client.send({"Ok": True, "Stage": OPENING})
        finally:
            settled.cancel()
        found = settled.result()
    except EicctlError:  # the command finds out by itself, and can ask its user
        await client.send({"Ok": False})
        return
    host, folder = found["Host"], request.session_folder
    login = f"{found['User']['name']}@{host}"
    tunnel = PendingTunnel(request.replace(target=host, instance_id="", ssh_login=login), session)
    pending[folder] = tunnel
    try:
        await client.send({"Ok": True, "Login": found})
        begin(partial(note_login, key, found))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GO_TIMEOUT):
                await client.receive()
    finally:
        if pending.get(folder) is tunnel:
            del pending[folder]
            await tunnel.end()


def _may_delegate() -> bool:
    """Whether the user wants connections in another process, where they are not in the log of their command."""
    found = defaults.of_user()
    return bool(found.get("agent", True)) and not found.get("log_file")
