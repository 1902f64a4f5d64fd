"""The event loop that carries a program's tunnels: one thread for all of them, as long as there are any."""

from __future__ import annotations

import asyncio
import threading

from eicctl.tunnel.selector_loop import new_loop


class Background:
    """An event loop in a thread of its own, while somebody needs it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs at least until `leave` is called."""
        with self._lock:
            self._users += 1
            if self._loop is None:
                self._loop = new_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="eicctl tunnels", daemon=True)
                self._thread.start()
            return self._loop

    def leave(self) -> None:
        """The loop is not needed any more. The last one to leave ends the thread, and waits for its end."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop and thread:
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


BACKGROUND = Background()
"""The one of this process."""
