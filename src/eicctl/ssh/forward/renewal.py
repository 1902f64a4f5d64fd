"""Renews an SSH connection before the service ends its tunnel within the hour, and replaces a lost one.

New forwarded connections use the new SSH connection; existing ones stay on the old one until they end, or it does.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import random
from collections.abc import Awaitable, Callable

from eicctl.core.errors import EicctlError, UnreachableError
from eicctl.core.events import Emit, TunnelEvent
from eicctl.ssh.forward.connection import Remote, SshConnection, Streams
from eicctl.support.clock import Backoff
from eicctl.tunnel import preconnect
from eicctl.tunnel.dial import RETRY_BUDGET

PATIENCE = 30.0
"""Seconds that a new forwarded connection waits for an SSH connection and for the response to its request."""

MARGIN = 0.25
"""The part of a tunnel's duration that remains when its successor is opened: the least for a new forwarded connection,
and the time for which renewal may fail. The old tunnel takes another of the endpoint's 20 slots only while it is in
use."""

JITTER = 0.1
"""The part of the margin by which it varies, so that many clients do not renew at the same moment."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two attempts to connect."""

SHORT_PAUSE = 2.0
"""Seconds after which the next attempt is made, whatever the pause, if a client waits for it."""

Connect = Callable[[float], Awaitable[SshConnection]]
"""Opens an SSH connection; takes the retry budget of its dial, in seconds."""


class RenewedConnection:
    """Keeps an SSH connection to one machine.

    Args:
        label: What to call the machine.
        connect: Opens an SSH connection.
        emit: Takes what happens to them. Called on the loop's thread, but a note of the login in any.
        patience: See `PATIENCE`.
    """

    def __init__(self, label: str, connect: Connect, emit: Emit, *, patience: float = PATIENCE) -> None:
        self.label = label
        self._connect = connect
        self._emit = emit
        self._patience = patience
        self._current: SshConnection
        self._old: dict[SshConnection, asyncio.Task[None]] = {}
        self._ready = asyncio.Event()
        self._wanted = asyncio.Event()
        self._last_error: EicctlError | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def current(self) -> SshConnection:
        """The one that new forwarded connections take; it may be lost already."""
        return self._current

    async def start(self) -> None:
        """Open the first one, and keep one from now on.

        Raises:
            EicctlError: It cannot be opened.
        """
        preconnect.enable()
        self._current = await self._connect(RETRY_BUDGET)
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End all of them, with their forwarded connections."""
        if self._keeper is None:
            return
        tasks = [self._keeper, *self._old.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(connection.close() for connection in (self._current, *self._old)))

    async def open(self, remote: Remote) -> tuple[SshConnection, Streams]:
        """Connect to somewhere as from the machine, on the SSH connection in use, or on the next one.

        Returns:
            The SSH connection, whose `end` is to be called once, and the streams.

        Raises:
            EicctlError: The machine cannot connect there, or no SSH connection is open for too long.
        """
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            connection = await self._usable(deadline)
            connection.begin()
            opening = asyncio.create_task(connection.open(remote))
            try:
                async with asyncio.timeout_at(deadline):
                    return connection, await asyncio.shield(opening)
            except ConnectionError:
                # Nothing was sent yet, so the next SSH connection will do as well.
                connection.note_end()
                connection.end()
            except BaseException as error:
                # asyncssh would leave the channel of a request open that is cancelled while it is under way.
                opening.add_done_callback(functools.partial(_abandon, connection))
                if isinstance(error, TimeoutError):
                    seconds = f"{self._patience:.0f} s"
                    raise UnreachableError(f"{self.label} got no answer from {remote} within {seconds}") from error
                raise

    async def _usable(self, deadline: float) -> SshConnection:
        while self._current.lost.is_set():
            self._ready.clear()
            self._wanted.set()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._ready.wait()
            except TimeoutError as error:
                last = self._last_error
                why = f": {last.message}" if last else ""
                raise UnreachableError(
                    f"No SSH connection to {self.label} for {self._patience:.0f} s{why}",
                    hint=last.hint if last else None,
                ) from error
        return self._current

    # In a task of its own

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            old = self._current
            await _wait(old.lost, _renewal(old) - loop.time())
            since = loop.time()
            lost = old.lost.is_set()
            if lost:
                self._emit(TunnelEvent("lost", via=self.label, text=_reason(old), count=old.cut))
            fresh = await self._replacement()
            self._current = fresh
            self._ready.set()
            if lost or old.lost.is_set():
                self._emit(TunnelEvent("recovered", via=self.label, seconds=loop.time() - since))
                continue
            remaining = old.expires - loop.time()
            self._emit(TunnelEvent("renewed", via=self.label, count=old.uses, seconds=remaining))
            self._old[old] = asyncio.create_task(self._see_off(old))
            old.retire()

    async def _replacement(self) -> SshConnection:
        """Return a fresh connection, whatever it takes."""
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                return await self._connect(0.0)
            except EicctlError as error:
                self._last_error = error
                wait = backoff.pause()
                self._emit(TunnelEvent("retrying", via=self.label, error=error, seconds=wait))
            self._wanted.clear()
            await asyncio.sleep(min(wait, SHORT_PAUSE))
            if wait > SHORT_PAUSE:
                await _wait(self._wanted, wait - SHORT_PAUSE)

    async def _see_off(self, old: SshConnection) -> None:
        """Wait for the end of a connection that is not in use any more."""
        await old.lost.wait()
        if old.cut:
            self._emit(TunnelEvent("expired", via=self.label, count=old.cut))
        await old.close()
        del self._old[old]
        # A connection of asyncssh is a large cycle of objects. Left to itself, the collector comes for the oldest
        # objects only when a quarter as many have been added, and many dead connections are less than that.
        gc.collect()


def _renewal(connection: SshConnection) -> float:
    """When to make a connection's successor, by the loop's clock."""
    margin = connection.max_duration * MARGIN
    return connection.expires - margin * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter is no secret


def _reason(connection: SshConnection) -> str:
    ending = connection.ending
    return ending.reason if ending and ending.error else "its server ended it or did not answer"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than that."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        return


def _abandon(connection: SshConnection, opening: asyncio.Task[Streams]) -> None:
    """Close a channel that nobody wants any more, once it is open."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[1].channel.abort()
    connection.end()
