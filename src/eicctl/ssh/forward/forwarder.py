"""Local listeners whose connections go through one SSH connection to a machine."""

from __future__ import annotations

import asyncio
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
from eicctl.ssh.forward.connection import Remote
from eicctl.ssh.forward.relay import Client, Counted, join, reset
from eicctl.ssh.forward.renewal import Lease, Rotation
from eicctl.tunnel.accept import Acceptor

SOCKS_TIMEOUT = 10.0
"""Seconds for a client to say where it wants to go."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Listening sockets, and where their connections go: to `remote`, or as each client says by SOCKS5 where it is
    None."""

    sockets: tuple[socket.socket, ...]
    rotation: Rotation
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
        self._counts: set[Counted] = set()  # of connections that are being carried
        self._carried = Traffic()  # by those that have ended

    @property
    def active(self) -> int:
        """How many clients there are."""
        return len(self._tasks)

    @property
    def traffic(self) -> Traffic:
        """What it carries; `ends` is when the first SSH connection in use ends, which is renewed before."""
        past = self._carried
        rotations = {forward.rotation for forward in self._forwards}
        return Traffic(
            active=len(self._counts),
            total=past.total + len(self._counts),
            bytes_in=past.bytes_in + sum(counted.bytes_in for counted in self._counts),
            bytes_out=past.bytes_out + sum(counted.bytes_out for counted in self._counts),
            ends=min((rotation.current.expires for rotation in rotations), default=None),
        )

    async def serve(self, stop: asyncio.Event) -> None:
        """Forward until `stop` is set. The rotations have been started; they are closed here."""
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
            rotations = {forward.rotation for forward in self._forwards}
            await asyncio.gather(*(rotation.close() for rotation in rotations))

    def _tell(self, kind: Kind, number: int, client: str, remote: Remote | None, **more: Any) -> None:
        self._emit(TunnelEvent(kind, number, client, str(remote or "SOCKS5"), **more))

    def _accepted(self, forward: Forward, client: socket.socket, name: str) -> None:
        task = asyncio.create_task(self._forward(forward, client, name))
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._gone, client))

    def _refused(self, forward: Forward, client: str, why: EicctlError) -> None:
        self._tell("failed", next(self._numbers), client, forward.remote, error=why)

    def _gone(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # it may not even have begun
            client.close()

    async def _forward(self, forward: Forward, sock: socket.socket, name: str) -> None:
        number = next(self._numbers)
        client = await asyncio.open_connection(sock=sock)
        writer = client[1]
        remote = forward.remote
        try:
            if remote is None:
                async with asyncio.timeout(SOCKS_TIMEOUT):
                    remote = await socks.requested(*client)
            lease = await self._lease(forward, remote, writer)
        except EicctlError as error:
            self._tell("failed", number, name, remote, error=error)
            await _hang_up(writer, gently=forward.remote is None)
        except socks.SocksError as error:
            self._tell("failed", number, name, None, error=UsageError(str(error)))
            await _hang_up(writer, gently=True)
        except (OSError, asyncio.IncompleteReadError):  # a time-out is an OSError
            writer.transport.abort()
        except BaseException:
            writer.transport.abort()
            raise
        else:
            await self._carry(number, name, client, lease, remote)

    async def _lease(self, forward: Forward, remote: Remote, writer: asyncio.StreamWriter) -> Lease:
        by_socks = forward.remote is None
        try:
            lease = await forward.rotation.open(remote)
        except EicctlError as error:
            if by_socks:
                socks.answer(writer, socks.failure_code(error))
            raise
        if by_socks:
            socks.answer(writer, socks.SUCCEEDED)
        return lease

    async def _carry(self, number: int, name: str, client: Client, lease: Lease, remote: Remote) -> None:
        started = time.monotonic()
        counted = Counted()
        self._counts.add(counted)
        error: EicctlError | None = None
        self._tell("opened", number, name, remote)
        try:
            await join(client, lease, counted)
            await _hang_up(client[1], gently=True)
        except asyncssh.Error as failure:
            error = UnreachableError(str(failure.reason))
        except OSError as failure:
            error = LocalError(f"the client is gone: {failure.strerror or failure}")
        finally:
            lease.release()
            client[1].transport.abort()
            self._count_off(counted)
        lived = time.monotonic() - started
        reason = error.message if error else "closed"
        info = CloseInfo(reason, error, counted.bytes_in, counted.bytes_out, lived)
        self._tell("closed", number, name, remote, close_info=info)

    def _count_off(self, counted: Counted) -> None:
        self._counts.discard(counted)
        past = self._carried
        self._carried = Traffic(
            total=past.total + 1,
            bytes_in=past.bytes_in + counted.bytes_in,
            bytes_out=past.bytes_out + counted.bytes_out,
        )


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
