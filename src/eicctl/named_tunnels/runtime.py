"""A named tunnel that is open: each connection is a tunnel of its own, or all are on one SSH connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from eicctl.core.errors import EicctlError, SilentTargetError
from eicctl.core.events import CloseInfo
from eicctl.core.model import Target, Traffic
from eicctl.ssh.forward.forwarder import Finished, Forward, Forwarder
from eicctl.ssh.forward.lines import ForwardLines
from eicctl.ssh.forward.renewal import Rotation
from eicctl.support.threads import in_thread
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.listener import Listener
from eicctl.tunnel.listener_lines import ListenerLines
from eicctl.tunnel.peer_uid import NotLetInError
from eicctl.tunnel.probe import probe
from eicctl.tunnel.relay import Linger

LOOKED_UP_EVERY = 10.0
"""Seconds between two look-ups of a target whose connections fail: it may have another address now."""


class Health(Protocol):
    """Is told how an open tunnel is doing, on the loop's thread."""

    def say(self, text: str) -> None:
        """A line for the tunnel's log. Called in any thread."""

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
        connections = _Connections(health, self._doubtful, dialer.target.endpoint_id)
        self._listener = Listener(dialer, sockets, connections, linger=Linger.of(linger))

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

    async def _follow(self) -> None:
        """Look the target up again when connections fail: an instance that was replaced has another address."""
        while True:
            await self._doubtful.wait()
            with contextlib.suppress(EicctlError):
                target = await in_thread(self._look_up)
                if target != self._dialer.target:
                    self._health.say(f"the target is at {target.address} now, through {target.endpoint_id}")
                    self._dialer.target = target
            await asyncio.sleep(LOOKED_UP_EVERY)
            self._doubtful.clear()


class _Connections(ListenerLines):
    """A listener's observer."""

    def __init__(self, health: Health, doubtful: asyncio.Event, endpoint_id: str) -> None:
        super().__init__(health.say, endpoint_id)
        self._health = health
        self._doubtful = doubtful

    def failed(self, number: int, client: str, error: EicctlError) -> None:
        super().failed(number, client, error)
        if not isinstance(error, NotLetInError):
            self._trouble(error)

    def closed(self, number: int, client: str, ending: CloseInfo) -> None:
        super().closed(number, client, ending)
        # An endpoint accepts a connection before it knows whether the target does.
        silent = isinstance(ending.error, SilentTargetError)  # which tells nothing of the tunnel
        if ending.error and not ending.bytes_in and not silent:
            self._trouble(ending.error)
        else:
            self._health.worked()

    def _trouble(self, error: EicctlError) -> None:
        self._doubtful.set()
        self._health.failed(error)


class Through:
    """All connections are on one SSH connection to an instance, which is renewed.

    Args:
        rotation: The SSH connections.
        forwards: What is forwarded by them.
        remote: Where connections go, in words.
        observer: Is told what happens.
        cleanup: Called at the end.
    """

    def __init__(
        self,
        rotation: Rotation,
        forwards: Sequence[Forward],
        remote: str,
        observer: Forwarding,
        *,
        cleanup: Callable[[], None],
    ) -> None:
        self.sockets = [sock for forward in forwards for sock in forward.sockets]
        self.remote = remote
        self._rotation = rotation
        self._cleanup = cleanup
        self._forwarder = Forwarder(forwards, observer)

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


class Forwarding(ForwardLines):
    """A forwarder's observer.

    Args:
        health: Is told how it goes.
        clients_choose: Whether each client says where it wants to go: a wrong choice tells nothing of the tunnel then.
    """

    def __init__(self, health: Health, *, clients_choose: bool = False) -> None:
        super().__init__(health.say, verbose=True)
        self._health = health
        self._clients_choose = clients_choose

    def lost(self, label: str, why: str, cut: int) -> None:
        super().lost(label, why, cut)
        self._health.failed(EicctlError(f"the SSH connection to {label} is lost: {why}"))

    def retrying(self, label: str, error: EicctlError, pause: float) -> None:
        super().retrying(label, error, pause)
        self._health.failed(error)

    def recovered(self, label: str, seconds: float) -> None:
        super().recovered(label, seconds)
        self._health.worked()

    def failed(self, number: int, client: str, remote: str, error: EicctlError) -> None:
        super().failed(number, client, remote, error)
        if not self._clients_choose and not isinstance(error, NotLetInError):
            self._health.failed(error)

    def closed(self, number: int, client: str, remote: str, finished: Finished) -> None:
        super().closed(number, client, remote, finished)
        if not finished.error:
            self._health.worked()


def seconds_left(traffic: Traffic) -> float | None:
    """Return the seconds until the first tunnel in use ends."""
    return None if traffic.ends is None else max(0.0, traffic.ends - time.monotonic())
