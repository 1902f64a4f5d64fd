"""Named tunnels that are kept open: each on its own, retried with growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from eicctl.aws.session import Sessions
from eicctl.core.errors import ConflictError, EicctlError
from eicctl.core.events import TunnelEvent
from eicctl.core.model import Traffic
from eicctl.named_tunnels.config_file import Definition
from eicctl.named_tunnels.factory import Opened, Opening
from eicctl.named_tunnels.status import State, Status
from eicctl.support import pins
from eicctl.support.bind import local_addresses
from eicctl.support.clock import Backoff
from eicctl.support.threads import in_thread

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two attempts to open a tunnel."""

WriteLog = Callable[[str, TunnelEvent], None]
"""Takes a tunnel's name and something for its log. Called in any thread."""

_log = logging.getLogger(__name__)


class SupervisedTunnel:
    """One named tunnel. All methods are called on the loop's thread, except `emit`.

    Args:
        definition: What it is.
        sessions: Access to AWS.
        write_log: See `WriteLog`.
        changed: Called when its state has changed.
    """

    def __init__(
        self, definition: Definition, sessions: Sessions, write_log: WriteLog, changed: Callable[[], None]
    ) -> None:
        self.definition = definition
        self._sessions = sessions
        self._write_log = write_log
        self._changed = changed
        self._opened: Opened | None = None
        self._past = Traffic()  # of openings before
        self._last_port = 0
        self._state: State = "opening"
        self._since = time.time()
        self._next_attempt: float | None = None
        self._error: EicctlError | None = None
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()
        self._retry_now = asyncio.Event()
        self._task = asyncio.create_task(self._keep())

    # Called by `opened`

    def emit(self, event: TunnelEvent) -> None:
        """Something for the log."""
        self._write_log(self.definition.name, event)

    def worked(self) -> None:
        """A connection has relayed something."""
        if self._state == "failing":
            self._enter("open")

    def failed(self, error: EicctlError) -> None:
        """A connection could not be relayed."""
        self._error = error
        if self._state == "open":
            self._enter("failing")

    # Called by its owner

    @property
    def traffic(self) -> Traffic:
        """What it relays, and has relayed."""
        return self._past + self._opened.server.traffic if self._opened else self._past

    def status(self) -> Status:
        """How it is doing; rates are for `Meter` to add."""
        traffic, opened, error = self.traffic, self._opened, self._error
        return Status(
            name=self.definition.name,
            kind=self.definition.kind,
            source=self.definition.source,
            state=self._state,
            local=tuple(local_addresses(opened.sockets)) if opened else (),
            remote=opened.remote if opened else self.definition.remote,
            via=opened.via() if opened else self.definition.via,
            connections=traffic.active,
            total=traffic.total,
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            seconds_left=None if traffic.ends is None else max(0.0, traffic.ends - time.monotonic()),
            since=self._since,
            retry_in=None if self._next_attempt is None else max(0.0, self._next_attempt - time.monotonic()),
            error=error.message if error else "",
            hint=self.definition.pinned(error.hint) if error else "",
        )

    async def settled(self) -> None:
        """Wait until its first attempt has succeeded or failed."""
        await self._settled.wait()

    def try_now(self) -> None:
        """Try again at once, if it waits for its next attempt."""
        if self._state == "retrying":
            self._settled.clear()
        self._retry_now.set()

    async def close(self) -> None:
        """End it and all its connections."""
        self._stop.set()
        if self._state not in ("open", "failing"):
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._state != "closed":
            self._enter("closed")

    # In a task of its own

    async def _keep(self) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._stop.is_set():
            self._enter("opening")
            try:
                opened = await self._open()
            except Exception as error:  # a defect in one must not end the others
                await self._wait(self._known(error), backoff.pause())
            else:
                backoff.reset()
                await self._serve(opened)

    async def _open(self) -> Opened:
        session = self._sessions.for_request(self.definition)
        opening = Opening(self.definition, session, self, self._last_port)
        opened = await in_thread(opening.open, lambda unwanted: unwanted.discard())
        try:
            await opened.start()
        except BaseException:
            opened.discard()
            raise
        return opened

    async def _wait(self, error: EicctlError, wait: float) -> None:
        self._error = error
        self._next_attempt = time.monotonic() + wait
        self._enter("retrying")
        hinted = EicctlError(error.message, hint=self.definition.pinned(error.hint) or None)
        self.emit(TunnelEvent("retrying", error=hinted, seconds=wait))
        self._retry_now.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._retry_now.wait(), wait)
        self._next_attempt = None

    async def _serve(self, opened: Opened) -> None:
        self._opened = opened
        self._error = None
        name = opened.sockets[0].getsockname()
        self._last_port = name[1] if isinstance(name, tuple) else 0
        self._enter("open")
        local = tuple(local_addresses(opened.sockets))
        self.emit(TunnelEvent("listening", local=local, remote=opened.remote, via=opened.via()))
        try:
            await opened.serve(self._stop)
        except Exception as error:
            self._error = self._known(error)
        finally:
            self._past = replace(self.traffic, active=0, ends=None)
            self._opened = None

    def _known(self, error: Exception) -> EicctlError:
        """Return an error that the user can read; a defect is logged."""
        if isinstance(error, EicctlError):
            return error
        _log.error("tunnel %s failed", self.definition.name, exc_info=error)
        return EicctlError(f"Unexpected {type(error).__name__}: {error}")

    def _enter(self, state: State) -> None:
        self._state = state
        self._since = time.time()
        if state != "opening":
            self._settled.set()
        self._changed()


class Supervisor:
    """Named tunnels by their names. Used on one event loop.

    Args:
        write_log: See `WriteLog`.
        changed: Called when a state has changed.
    """

    def __init__(self, write_log: WriteLog, changed: Callable[[], None] = lambda: None) -> None:
        self._write_log = write_log
        self._changed = changed
        self._sessions = Sessions()
        self._tunnels: dict[str, SupervisedTunnel] = {}

    def __len__(self) -> int:
        return len(self._tunnels)

    async def open(self, definitions: Iterable[Definition]) -> None:
        """Open tunnels that are not open, and open those anew whose definition has changed. Returns at once.

        Raises:
            ConflictError: Another file's tunnel with the same name is open; nothing is done then.
        """
        wanted = list(definitions)
        for definition in wanted:
            known = self._tunnels.get(definition.name)
            if known and known.definition.source != definition.source:
                raise ConflictError(
                    f"A tunnel named {definition.name!r} of {known.definition.source} is already open",
                    hint=pins.command("eicctl", "down", definition.name),
                )
        for definition in wanted:
            known = self._tunnels.get(definition.name)
            if known and known.definition == definition:
                known.try_now()
                continue
            if known:
                self._write_log(definition.name, TunnelEvent("note", text="its definition has changed"))
                await known.close()
            self._tunnels[definition.name] = SupervisedTunnel(
                definition, self._sessions, self._write_log, self._changed
            )

    async def settled(self, names: Iterable[str]) -> None:
        """Wait until the first attempt of each has succeeded or failed."""
        await asyncio.gather(*(self._tunnels[name].settled() for name in names if name in self._tunnels))

    async def close(self, names: Iterable[str] | None = None) -> list[str]:
        """End tunnels; all if None is given. Return the names of those that existed."""
        chosen = [name for name in (self._tunnels if names is None else names) if name in self._tunnels]
        await asyncio.gather(*(self._tunnels[name].close() for name in chosen))
        for name in chosen:
            self._tunnels.pop(name, None)
        return chosen

    def definitions(self) -> list[Definition]:
        """What is kept open."""
        return [kept.definition for kept in self._tunnels.values()]

    def statuses(self) -> list[Status]:
        """How they are doing, in the order in which they were opened."""
        return [kept.status() for kept in self._tunnels.values()]
