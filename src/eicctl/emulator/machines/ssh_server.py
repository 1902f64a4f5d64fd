"""The SSH server of an emulated Linux instance: asyncssh in front, this computer's own shell behind.

TCP connections through an SSH connection (RFC 4254, section 7.2): a channel and a target's streams, joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.stream import SSHTCPStreamSession

from eicctl.emulator.machines.shell import run
from eicctl.emulator.state import Machine, State

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


class SshMachine:
    """Serves SSH for one machine. What clients run is run as the user that runs the emulator.

    Args:
        state: Tells which keys are accepted now.
        machine: The machine.
        home: The folder that stands for its users' home.
        connect: Opens connections that clients want forwarded, as from the machine.
    """

    def __init__(self, state: State, machine: Machine, home: Path, connect: Connect) -> None:
        self._state = state
        self._connect = connect
        self._machine = machine
        self._home = home
        self._key = asyncssh.import_private_key(machine.host_key)

    async def serve(self, sock: socket.socket) -> None:
        """Serve one connection on a connected socket until it ends."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.expanduser("~") == "~":  # noqa: PTH111 - without any home asyncssh serves nobody
            os.environ["HOME"] = os.devnull
        with contextlib.suppress(OSError, asyncssh.Error, TimeoutError):
            connection = await asyncssh.run_server(
                sock,
                server_factory=lambda: _Server(self._state, self._machine, self._connect),
                server_host_keys=[self._key],
                server_version="eicctl_local",
                process_factory=lambda process: run(process, self._home),
                sftp_factory=lambda channel: _Sftp(channel, self._home),
                allow_scp=True,
                encoding=None,
                agent_forwarding=False,
                compression_algs=None,
                login_timeout=30,
                window=2**21,
            )
            await connection.wait_closed()


class _Server(asyncssh.SSHServer):
    """Who may log in, and where forwarded connections go."""

    def __init__(self, state: State, machine: Machine, connect: Connect) -> None:
        self._state = state
        self._machine = machine
        self._connect = connect

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        if username not in self._machine.users:
            return False
        accepted = [*self._machine.authorized_keys, *self._state.keys(self._machine.instance_id, username)]
        return any(_is(key, line) for line in accepted)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        return open_forward(self._connect, dest_host, dest_port)

    def unix_connection_requested(self, dest_path: str) -> Any:
        return open_unix_forward(dest_path)

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return listen_host in ("", "localhost", "127.0.0.1", "::1")


def _is(key: asyncssh.SSHKey, line: str) -> bool:
    with contextlib.suppress(asyncssh.KeyImportError):
        return asyncssh.import_public_key(line) == key
    return False


class _Sftp(asyncssh.SFTPServer):
    """Files of this computer, relative names from the machine's home."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel)
        self._session = channel
        self._home = str(home).encode()

    def exit(self) -> None:
        """Report success at the end: OpenSSH's scp wants an exit status, which asyncssh leaves out."""
        with contextlib.suppress(OSError):
            self._session.exit(0)

    def map_path(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else self._home + b"/" + path
