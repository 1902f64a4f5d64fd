"""An asyncio event for Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

from eicctl.tunnel.descriptors import allow_many


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


def _tick(loop: asyncio.AbstractEventLoop) -> None:
    """Wake the loop twice a second: on Windows a signal does not end its select()."""
    loop.call_later(0.5, _tick, loop)
