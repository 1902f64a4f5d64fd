"""A supervisor of named tunnels in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eicctl.named_tunnels.config_file import Definition
from eicctl.named_tunnels.status import Status
from eicctl.named_tunnels.supervisor import Supervisor
from eicctl.view.events import lines
from tests.waiting import wait_for

T = TypeVar("T")


@dataclass
class Kept:
    """A running supervisor, and what it has said."""

    supervisor: Supervisor
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    lines: list[tuple[str, str]] = field(default_factory=list)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on its loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def open(self, *definitions: Definition) -> None:
        """Open tunnels, and wait for their first attempts."""
        self.call(self.supervisor.open(definitions))
        self.call(self.supervisor.settled([definition.name for definition in definitions]))

    def status(self, name: str) -> Status:
        """How a tunnel is doing."""

        async def look() -> list[Status]:
            return self.supervisor.statuses()

        return next(status for status in self.call(look()) if status.name == name)

    def wait_for(self, name: str, fits: Callable[[Status], bool]) -> Status:
        """Return the status of a tunnel as soon as it fits."""

        def look() -> Status | None:
            status = self.status(name)
            return status if fits(status) else None

        return wait_for(look, f"the state that is wanted of {name}")


@contextlib.contextmanager
def keeping() -> Iterator[Kept]:
    """Run a supervisor as long as the block lasts."""
    ready = threading.Event()
    found: list[Kept] = []
    said: list[tuple[str, str]] = []

    async def main() -> None:
        stop = asyncio.Event()
        supervisor = Supervisor(lambda name, event: said.extend((name, line) for line in lines(event)))
        found.append(Kept(supervisor, asyncio.get_running_loop(), stop, said))
        ready.set()
        await stop.wait()
        await supervisor.close()

    def work() -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(main())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(60)
    (kept,) = found
    try:
        yield kept
    finally:
        kept.loop.call_soon_threadsafe(kept.stop.set)
        thread.join(20)
        assert not thread.is_alive()
