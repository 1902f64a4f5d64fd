"""TCP connections through an SSH connection (RFC 4254, section 7.2): a channel and a target's streams, joined."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import asyncssh
from asyncssh.stream import SSHTCPStreamSession

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[str, int], Awaitable[Streams | None]]

CHUNK = 65536


async def open_forward(connect: Connect, host: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
    """Connect to the target and return the session that carries its bytes.

    asyncssh has a forwarder of its own. It leaves a channel open for good when the target ends before the client does,
    and OpenSSH's `-W` then never returns.

    Raises:
        ChannelOpenError: Nothing answers there.
    """
    streams = await connect(host, port)
    if streams is None:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "Connection refused")
    return _joined(streams)


async def open_unix_forward(path: str) -> asyncssh.SSHTCPSession[bytes]:
    """Connect to a Unix socket of this computer, as `open_forward` does to a port.

    Raises:
        ChannelOpenError: Nothing answers there.
    """
    try:
        return _joined(await asyncio.open_unix_connection(path))
    except OSError as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, error.strerror or str(error)) from error


def _joined(streams: Streams) -> asyncssh.SSHTCPSession[bytes]:
    """Return the session that carries the bytes of a channel to and from the streams."""

    async def handler(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        await _join(reader, writer, *streams)

    return SSHTCPStreamSession(handler)


async def _join(
    from_client: asyncssh.SSHReader[bytes],
    to_client: asyncssh.SSHWriter[bytes],
    from_target: asyncio.StreamReader,
    to_target: asyncio.StreamWriter,
) -> None:
    """Carry both ways, each to its own end; an error ends both."""
    with contextlib.suppress(OSError, asyncssh.Error):
        await asyncio.gather(_copy(from_client, to_target), _copy(from_target, to_client))
    to_client.close()
    to_target.close()


async def _copy(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter | asyncssh.SSHWriter[bytes]
) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    sink.write_eof()
