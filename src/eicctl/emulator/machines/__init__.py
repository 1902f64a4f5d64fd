"""The machines: services that stand for a machine's ports on this computer, as byte streams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from eicctl.emulator.machines.sshd import Sshd
from eicctl.emulator.state import Machine, State

_HEADER = 4  # TPKT: version 3, reserved, length in two bytes (RFC 1006, section 6)
_REQUEST = 0xE0  # X.224 connection request and confirm (ITU-T X.224, section 13)
_CONFIRM = 0xD0
_NEGOTIATE = bytes([2, 0, 8, 0, 1, 0, 0, 0])  # MS-RDPBCGR 2.2.1.2.1: negotiation response, TLS


async def serve_rdp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a connection request; hang up on anything else, or when the client does."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        header = await reader.readexactly(_HEADER)
        length = int.from_bytes(header[2:4], "big")
        if header[0] == 3 and _HEADER + 7 <= length <= 512:
            request = await reader.readexactly(length - _HEADER)
            if request[1] & 0xF0 == _REQUEST:
                writer.write(rdp_confirm(source=request[4:6], negotiates=b"\x01\x00\x08\x00" in request))
                await writer.drain()
                await reader.read()
    writer.close()


def rdp_confirm(*, source: bytes, negotiates: bool) -> bytes:
    """Return the connection confirm for a request whose source reference is `source`."""
    body = bytes([_CONFIRM]) + source + b"\x12\x34" + b"\x00" + (_NEGOTIATE if negotiates else b"")
    return b"\x03\x00" + (_HEADER + 1 + len(body)).to_bytes(2, "big") + bytes([len(body)]) + body


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Machines:
    """Connects to machines. Services run in this process and are handed a socket; none listens on a port.

    Args:
        state: The emulator's memory.
        folder: A private folder for the machines' files.
        sshd: Whether Linux machines are OpenSSH's sshd instead of the embedded server.
    """

    def __init__(self, state: State, folder: Path, *, sshd: bool) -> None:
        self._state = state
        self._folder = folder
        self._sshd = Sshd(state, folder) if sshd else None
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, machine: Machine, port: int) -> Streams | None:
        """Return streams to what answers at a machine's port, or None if nothing does."""
        if where := dict(machine.forwards).get(port):
            host, _, number = where.rpartition(":")
            return await _dial(host.strip("[]"), int(number))
        # A Windows machine with keys of its own has OpenSSH's server.
        if port == 22 and (machine.kind == "linux" or (machine.kind == "windows" and machine.authorized_keys)):
            return await self._hand_over(self._serve_ssh, machine)
        if machine.kind == "windows" and port == 3389:
            return await self._hand_over(self._serve_rdp, machine)
        return None

    async def connect_from(self, machine: Machine, host: str, port: int) -> Streams | None:
        """Return streams to what a machine finds at a host's port, or None.

        The machine's own loopback is this computer's. The only other hosts are those of the machine's VPC; security
        groups do not apply between them.
        """
        if host in LOOPBACK:
            return await _dial(host, port)
        found = self._state.find_machine(machine.vpc_id, host)
        return await self.connect(found, port) if found else None

    async def close(self) -> None:
        """End what is being served."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hand_over(self, serve: Any, machine: Machine) -> Streams:
        ours, theirs = socket.socketpair()
        work: Coroutine[Any, Any, None] = serve(machine, theirs)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.open_connection(sock=ours)

    async def _serve_ssh(self, machine: Machine, sock: socket.socket) -> None:
        if self._sshd:
            await self._sshd.serve(machine, sock)
            return
        from eicctl.emulator.machines.ssh_server import SshMachine

        home = self._folder / "homes" / machine.instance_id
        await SshMachine(self._state, machine, home, partial(self.connect_from, machine)).serve(sock)

    @staticmethod
    async def _serve_rdp(_machine: Machine, sock: socket.socket) -> None:
        await serve_rdp(*await asyncio.open_connection(sock=sock))


async def _dial(host: str, port: int) -> Streams | None:
    with contextlib.suppress(OSError):
        return await asyncio.open_connection(host, port)
    return None
