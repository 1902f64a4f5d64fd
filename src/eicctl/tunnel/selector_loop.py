"""The few calls of an event loop that a relay needs, and a small loop of its own for stdio.

A relay runs on an asyncio loop as well as on `SelectorReactor`: they share these names. Importing asyncio takes
about 45 ms, which a ProxyCommand pays before its first byte; one connection on stdin and stdout does without it.

The event loop that runs tunnels.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's where it is installed, which needs less CPU for the same bytes.

    Elsewhere it is asyncio's selector loop. Channels wait for descriptors themselves, which the proactor cannot do, the
    usual loop on Windows.
    """
    try:
        import uvloop
    except ImportError:
        import asyncio

        return asyncio.SelectorEventLoop()
    return uvloop.new_event_loop()


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Do not make the call."""


class Reactor(Protocol):
    """What a relay asks of an event loop; `asyncio.AbstractEventLoop` has it all."""

    def add_reader(self, fd: int, callback: Callable[..., Any], /) -> Any:
        """Call `callback` whenever `fd` can be read."""

    def remove_reader(self, fd: int, /) -> object:
        """Stop that."""

    def add_writer(self, fd: int, callback: Callable[..., Any], /) -> Any:
        """Call `callback` whenever `fd` can be written."""

    def remove_writer(self, fd: int, /) -> object:
        """Stop that."""

    def call_later(self, delay: float, callback: Callable[..., Any], /) -> Timer:
        """Call `callback` after `delay` seconds."""


class _Call:
    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class SelectorReactor:
    """A single-threaded event loop on `selectors`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._soon: deque[_Call] = deque()
        self._later: list[tuple[float, int, _Call]] = []
        self._order = itertools.count()
        self._stopped = False
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self.add_reader(self._woken.fileno(), self._drain_wakes)

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        self._watch(fd, selectors.EVENT_READ, callback)

    def remove_reader(self, fd: int) -> None:
        self._watch(fd, selectors.EVENT_READ, None)

    def add_writer(self, fd: int, callback: Callable[[], object]) -> None:
        self._watch(fd, selectors.EVENT_WRITE, callback)

    def remove_writer(self, fd: int) -> None:
        self._watch(fd, selectors.EVENT_WRITE, None)

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the next round, from another thread or from a signal handler."""
        self._soon.append(_Call(callback))
        with contextlib.suppress(BlockingIOError):  # full of wakes already
            self._waker.send(b"\0")

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        call = _Call(callback)
        heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), call))
        return call

    def run(self) -> None:
        """Serve events until `stop` is called, also if that was before."""
        while not self._stopped:
            self._wait()
            for _ in range(len(self._soon)):
                call = self._soon.popleft()
                if not call.cancelled:
                    call.callback()
        self._stopped = False

    def stop(self) -> None:
        """Let `run` return after the round that is under way, or its next call return at once."""
        self._stopped = True

    def close(self) -> None:
        """Release the selector and its descriptors."""
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def _wait(self) -> None:
        timeout = None
        if self._soon:
            timeout = 0.0
        elif self._later:
            timeout = max(0.0, self._later[0][0] - time.monotonic())
        for key, events in self._selector.select(timeout):
            for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                # A callback of this round may have removed or replaced the one that is to come.
                if events & event and (callback := self._current(key.fd, event)):
                    callback()
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._soon.append(heapq.heappop(self._later)[2])

    def _current(self, fd: int, event: int) -> Callable[[], object] | None:
        key = self._selector.get_map().get(fd)
        callbacks: dict[int, Callable[[], object]] = key.data if key else {}
        return callbacks.get(event)

    def _watch(self, fd: int, event: int, callback: Callable[[], object] | None) -> None:
        key = self._selector.get_map().get(fd)
        callbacks: dict[int, Callable[[], object]] = dict(key.data) if key else {}
        if callback:
            callbacks[event] = callback
        else:
            callbacks.pop(event, None)
        mask = sum(callbacks)
        if not key and mask:
            self._selector.register(fd, mask, callbacks)
        elif key and mask:
            self._selector.modify(fd, mask, callbacks)
        elif key:
            self._selector.unregister(fd)
