"""Local listeners whose connections go through one SSH connection to a machine.

asyncssh's own forwarder leaves a channel open for good if the client disconnects while it is being opened (asyncssh
issue 823), and cannot move from one SSH connection to the next."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncssh

from eicctl.core.errors import EicctlError, LocalError, UnreachableError, UsageError
from eicctl.core.events import CloseInfo, Emit, Kind, TunnelEvent
from eicctl.core.model import Traffic
from eicctl.ssh.forward import socks
from eicctl.ssh.forward.connection import Remote, SshConnection, Streams
from eicctl.ssh.forward.renewal import RenewedConnection
from eicctl.tunnel.accept import Acceptor
from eicctl.tunnel.local_streams import reset_at_close

SOCKS_TIMEOUT = 10.0
"""Seconds for a client to say where it wants to go."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Listening sockets, and where their connections go: to `remote`, or as each client says by SOCKS5 where it is
    None."""

    sockets: tuple[socket.socket, ...]
    ssh: RenewedConnection
    remote: Remote | None


class Forwarder:
    """Accepts clients and forwards them, as long as it is served. The listeners stay open whatever becomes of the SSH
    connections.

    Args:
        forwards: What to forward; `serve` closes the sockets.
        emit: Takes what happens to connections, which have numbers from 1. Called on the loop's thread.
    """

    def __init__(self, forwards: Sequence[Forward], emit: Emit) -> None:
        self._forwards = forwards
        self._emit = emit
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: set[Counted] = set()  # of open connections
        self._past = Traffic()  # of those that have ended

    @property
    def active(self) -> int:
        """How many clients there are."""
        return len(self._tasks)

    @property
    def traffic(self) -> Traffic:
        """What it relays; `ends` is when the first SSH connection in use ends, which is renewed before."""
        now = (Traffic(1, 1, counted.bytes_in, counted.bytes_out) for counted in self._counts)
        ends = min((forward.ssh.current.expires for forward in self._forwards), default=None)
        return sum(now, self._past + Traffic(ends=ends))

    async def serve(self, stop: asyncio.Event) -> None:
        """Forward until `stop` is set. The SSH connections have been started; they are closed here."""
        acceptors = [
            Acceptor(
                forward.sockets,
                functools.partial(self._accepted, forward),
                functools.partial(self._refused, forward),
            )
            for forward in self._forwards
        ]
        try:
            for acceptor in acceptors:
                acceptor.start()
            await stop.wait()
        finally:
            for acceptor in acceptors:
                acceptor.stop()
            for sock in (sock for forward in self._forwards for sock in forward.sockets):
                sock.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            connections = {forward.ssh for forward in self._forwards}
            await asyncio.gather(*(ssh.close() for ssh in connections))

    def _report(self, kind: Kind, number: int, client: str, remote: Remote | None, **more: Any) -> None:
        self._emit(TunnelEvent(kind, number, client, str(remote or "SOCKS5"), **more))

    def _accepted(self, forward: Forward, client: socket.socket, name: str) -> None:
        task = asyncio.create_task(self._forward(forward, client, name))
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._gone, client))

    def _refused(self, forward: Forward, client: str, why: EicctlError) -> None:
        self._report("failed", next(self._numbers), client, forward.remote, error=why)

    def _gone(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # it may not even have begun
            client.close()

    async def _forward(self, forward: Forward, sock: socket.socket, name: str) -> None:
        number = next(self._numbers)
        client = await asyncio.open_connection(sock=sock)
        writer = client[1]
        remote, by_socks = forward.remote, forward.remote is None
        try:
            if remote is None:
                async with asyncio.timeout(SOCKS_TIMEOUT):
                    remote = await socks.requested(*client)
            try:
                connection, streams = await forward.ssh.open(remote)
            except EicctlError as error:
                if by_socks:
                    socks.answer(writer, socks.failure_code(error))
                raise
            if by_socks:
                socks.answer(writer, socks.SUCCEEDED)
        except EicctlError as error:
            self._report("failed", number, name, remote, error=error)
            await _hang_up(writer, gently=by_socks)
        except socks.SocksError as error:
            self._report("failed", number, name, None, error=UsageError(str(error)))
            await _hang_up(writer, gently=True)
        except (OSError, asyncio.IncompleteReadError):  # a time-out is an OSError
            writer.transport.abort()
        except BaseException:
            writer.transport.abort()
            raise
        else:
            await self._relay((number, name, remote), client, connection, streams)

    async def _relay(
        self, named: tuple[int, str, Remote], client: Client, connection: SshConnection, streams: Streams
    ) -> None:
        started = time.monotonic()
        counted = Counted()
        self._counts.add(counted)
        error: EicctlError | None = None
        self._report("opened", *named)
        try:
            await relay(client, connection, streams, counted)
            await _hang_up(client[1], gently=True)
        except asyncssh.Error as failure:
            error = UnreachableError(str(failure.reason))
        except OSError as failure:
            error = LocalError(f"The client is gone: {failure.strerror or failure}")
        finally:
            connection.end()
            client[1].transport.abort()
            self._counts.discard(counted)
            self._past += Traffic(total=1, bytes_in=counted.bytes_in, bytes_out=counted.bytes_out)
        lived = time.monotonic() - started
        reason = error.message if error else "closed"
        info = CloseInfo(reason, error, counted.bytes_in, counted.bytes_out, lived)
        self._report("closed", *named, close_info=info)


async def _hang_up(writer: asyncio.StreamWriter, *, gently: bool) -> None:
    """Close a client's connection: when it has taken what was sent, or with a reset."""
    if not gently:
        reset(writer)
        return
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


CHUNK = 65536

DISCARD_TIMEOUT = 5.0
"""Seconds for which a client may go on sending after the channel's end. Its bytes go nowhere; closing its socket while
some are unread would make the kernel throw away what the client has not yet read of ours."""

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Counted:
    """Bytes from the remote side, and to it."""

    bytes_in = 0
    bytes_out = 0


async def relay(client: Client, connection: SshConnection, streams: Streams, counted: Counted) -> None:
    """Relay bytes until both sides have ended. Each side's EOF is passed on; a failure of one resets the other.

    Raises:
        OSError: The client's connection broke.
        asyncssh.Error: The SSH connection broke.
    """
    from_client, to_client = client
    from_remote, to_remote = streams
    up = asyncio.create_task(_up(from_client, to_remote, connection, counted))
    down = asyncio.create_task(_down(from_remote, to_client, connection, counted))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            down.result()
            await _until_closed(up, to_remote)
        elif not down.done():
            up.result()
            await asyncio.wait({down})
        for task in (down, up):
            if task.done():
                task.result()
    except BaseException:
        to_remote.channel.abort()
        reset(to_client)
        raise
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
    to_remote.close()


async def _up(
    source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes], connection: SshConnection, counted: Counted
) -> None:
    """From the client, as fast as the channel and the tunnel accept it."""
    while data := await source.read(CHUNK):
        if sink.is_closing():
            continue  # the remote side has closed; it may still have sent something that the client is to read
        sink.write(data)
        counted.bytes_out += len(data)
        await sink.drain()
        await connection.writable.wait()
    sink.write_eof()


async def _down(
    source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter, connection: SshConnection, counted: Counted
) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        counted.bytes_in += len(data)
        await sink.drain()
    if connection.lost.is_set():
        # A server that says goodbye ends its channels without an error; what was under way is cut all the same.
        raise asyncssh.ConnectionLost("the SSH connection has ended")
    with contextlib.suppress(OSError):
        sink.write_eof()


async def _until_closed(up: asyncio.Task[None], channel: asyncssh.SSHWriter[bytes]) -> None:
    """After the remote side's EOF, let the client send until the channel is closed, and a little longer."""
    closed = asyncio.create_task(channel.wait_closed())
    try:
        await asyncio.wait({up, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            await asyncio.wait({up}, timeout=DISCARD_TIMEOUT)
    finally:
        closed.cancel()


def reset(client: asyncio.StreamWriter) -> None:
    """Reset a client's connection, so that what it has received does not look complete."""
    if sock := client.get_extra_info("socket"):
        reset_at_close(sock)
    client.transport.abort()
