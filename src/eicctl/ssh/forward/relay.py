"""Relays bytes between a client's socket and a channel of an SSH connection.

asyncssh's own forwarder leaves a channel open for good if the client disconnects while it is being opened (asyncssh
issue 823), and cannot move from one SSH connection to the next.
"""

from __future__ import annotations

import asyncio
import contextlib

import asyncssh

from eicctl.ssh.forward.connection import SshConnection
from eicctl.ssh.forward.renewal import Lease
from eicctl.tunnel.local_streams import reset_at_close

CHUNK = 65536

DISCARD_TIMEOUT = 5.0
"""Seconds for which a client may go on sending after the channel's end. Its bytes go nowhere; closing its socket while
some are unread would make the kernel throw away what the client has not yet read of ours."""

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Counted:
    """Bytes from the remote side, and to it."""

    bytes_in = 0
    bytes_out = 0


async def join(client: Client, lease: Lease, counted: Counted) -> None:
    """Relay bytes until both sides have ended. Each side's EOF is passed on; a failure of one resets the other.

    Raises:
        OSError: The client's connection broke.
        asyncssh.Error: The SSH connection broke.
    """
    from_client, to_client = client
    from_remote, to_remote = lease.streams
    up = asyncio.create_task(_up(from_client, to_remote, lease.connection, counted))
    down = asyncio.create_task(_down(from_remote, to_client, lease.connection, counted))
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
