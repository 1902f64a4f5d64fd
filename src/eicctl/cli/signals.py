"""An asyncio event for Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from eicctl.tunnel.dial import allow_many

T = TypeVar("T")


def interrupted() -> asyncio.Event:
    """Return an event that is set by SIGINT, SIGTERM or SIGHUP. Called on the running loop of the main thread.

    Who waits for it serves clients, and may need more file descriptors than a shell's usual limit.
    """
    allow_many()
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, event.set)
        return event

    def stop(_signal: int, _frame: object) -> None:
        loop.call_soon_threadsafe(event.set)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGBREAK, stop)
    _tick(loop)
    return event


def run_interruptibly(main: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run `main` on a new loop with the event of `interrupted`, and return what it returns.

    What tells somebody that clients can connect is for `main` to say: an interrupt before the loop runs may come while
    a module is imported, where Python can lose it.
    """
    from eicctl.tunnel.selector_loop import new_loop

    async def run() -> T:
        return await main(interrupted())

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(run())


def _tick(loop: asyncio.AbstractEventLoop) -> None:
    """Wake the loop twice a second: on Windows a signal does not end its select()."""
    loop.call_later(0.5, _tick, loop)
