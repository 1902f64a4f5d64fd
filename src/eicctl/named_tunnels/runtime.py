"""A named tunnel that is open: each connection is a tunnel of its own, or all are on one SSH connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from eicctl.core.errors import EicctlError, SilentTargetError
from eicctl.core.events import Emit, TunnelEvent
from eicctl.core.model import Target, Traffic
from eicctl.ssh.forward.forwarder import Forward, Forwarder
from eicctl.ssh.forward.renewal import Rotation
from eicctl.support.threads import in_thread
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.listener import Listener
from eicctl.tunnel.peer_uid import NotLetInError
from eicctl.tunnel.probe import probe
from eicctl.tunnel.relay import Linger

LOOKED_UP_EVERY = 10.0
"""Seconds between two look-ups of a target whose connections fail: it may have another address now."""


class Health(Protocol):
    """Is told how an open tunnel is doing, on the loop's thread."""

    def emit(self, event: TunnelEvent) -> None:
        """Something for the tunnel's log. Called in any thread."""

    def worked(self) -> None:
        """A connection has carried something."""

    def failed(self, error: EicctlError) -> None:
        """A connection could not be carried, or the SSH connection is lost."""


class Opened(Protocol):
    """Listening sockets, and what carries their connections."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Where it listens."""

    @property
    def remote(self) -> str:
        """Where connections go, in words."""

    @property
    def via(self) -> str:
        """The endpoint or the instance that they go through."""

    @property
    def traffic(self) -> Traffic:
        """What it carries. Read while it is served, on the loop's thread."""

    async def start(self) -> None:
        """Prove that connections can be made.

        Raises:
            EicctlError: They cannot.
        """

    async def serve(self, stop: asyncio.Event) -> None:
        """Carry connections until `stop` is set; then close everything."""

    def discard(self) -> None:
        """Close what was never served."""


class Straight:
    """Each connection is a tunnel of its own.

    Args:
        dialer: Opens the tunnels.
        sockets: Listening sockets.
        remote: Where connections go, in words.
        health: Is told how it goes.
        look_up: Returns where the target is now; blocks.
        cleanup: Called at the end.
        linger: See `Definition`.
    """

    def __init__(
        self,
        dialer: Dialer,
        sockets: Sequence[socket.socket],
        remote: str,
        health: Health,
        *,
        look_up: Callable[[], Target],
        cleanup: Callable[[], None],
        linger: float | None = None,
    ) -> None:
        self.sockets = sockets
        self.remote = remote
        self._dialer = dialer
        self._health = health
        self._look_up = look_up
        self._cleanup = cleanup
        self._doubtful = asyncio.Event()
        self._listener = Listener(dialer, sockets, self._emit, linger=Linger.of(linger))

    @property
    def via(self) -> str:
        return self._dialer.target.endpoint_id

    @property
    def traffic(self) -> Traffic:
        return self._listener.traffic

    async def start(self) -> None:
        await in_thread(lambda: probe(self._dialer))

    async def serve(self, stop: asyncio.Event) -> None:
        following = asyncio.create_task(self._follow())
        try:
            await self._listener.serve(stop)
        finally:
            following.cancel()
            self._cleanup()

    def discard(self) -> None:
        for sock in self.sockets:
            sock.close()
        self._cleanup()

    def _emit(self, event: TunnelEvent) -> None:
        self._health.emit(event)
        error, info = event.error, event.close_info
        if event.kind == "failed" and error and not isinstance(error, NotLetInError):
            self._trouble(error)
        # An endpoint accepts a connection before it knows whether the target does. A client that has waited for an
        # answer in vain says nothing of the tunnel.
        elif info and info.error and not info.bytes_in and not isinstance(info.error, SilentTargetError):
            self._trouble(info.error)
        elif info:
            self._health.worked()

    def _trouble(self, error: EicctlError) -> None:
        self._doubtful.set()
        self._health.failed(error)

    async def _follow(self) -> None:
        """Look the target up again when connections fail: an instance that was replaced has another address."""
        while True:
            await self._doubtful.wait()
            with contextlib.suppress(EicctlError):
                target = await in_thread(self._look_up)
                if target != self._dialer.target:
                    moved = f"the target is at {target.address} now, through {target.endpoint_id}"
                    self._health.emit(TunnelEvent("note", text=moved))
                    self._dialer.target = target
            await asyncio.sleep(LOOKED_UP_EVERY)
            self._doubtful.clear()


class Through:
    """All connections are on one SSH connection to an instance, which is renewed.

    Args:
        rotation: The SSH connections.
        forwards: What is forwarded by them.
        remote: Where connections go, in words.
        emit: Takes what happens.
        cleanup: Called at the end.
    """

    def __init__(
        self,
        rotation: Rotation,
        forwards: Sequence[Forward],
        remote: str,
        emit: Emit,
        *,
        cleanup: Callable[[], None],
    ) -> None:
        self.sockets = [sock for forward in forwards for sock in forward.sockets]
        self.remote = remote
        self._rotation = rotation
        self._cleanup = cleanup
        self._forwarder = Forwarder(forwards, emit)

    @property
    def via(self) -> str:
        return self._rotation.label

    @property
    def traffic(self) -> Traffic:
        return self._forwarder.traffic

    async def start(self) -> None:
        await self._rotation.start()

    async def serve(self, stop: asyncio.Event) -> None:
        try:
            await self._forwarder.serve(stop)
        finally:
            self._cleanup()

    def discard(self) -> None:
        for sock in self.sockets:
            sock.close()
        self._cleanup()


def forwarded(health: Health, *, clients_choose: bool = False) -> Emit:
    """Return what takes the events of a forwarder and its SSH connection.

    Args:
        health: Is told how it goes.
        clients_choose: Whether each client chooses its destination (SOCKS): a failed connect does not mark the tunnel
            unhealthy then.
    """

    def emit(event: TunnelEvent) -> None:
        health.emit(event)
        if event.kind == "lost":
            health.failed(EicctlError(f"the SSH connection to {event.via} is lost: {event.text}"))
        elif event.kind == "recovered" or (event.close_info and not event.close_info.error):
            health.worked()
        elif event.error and not (event.connection and (clients_choose or isinstance(event.error, NotLetInError))):
            health.failed(event.error)

    return emit


def seconds_left(traffic: Traffic) -> float | None:
    """Return the seconds until the first tunnel in use ends."""
    return None if traffic.ends is None else max(0.0, traffic.ends - time.monotonic())
