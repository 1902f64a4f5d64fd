"""Blocking calls in threads of their own: beside the event loop, or several at the same time.

The threads are daemons: unlike with `asyncio.to_thread` and `ThreadPoolExecutor`, neither Ctrl-C nor the end of the
process waits for a slow network.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

IDLE = 10.0
"""Seconds for which a thread waits for the next call."""

MOST_IDLE = 4
"""Most threads that wait: starting one, with its buffers, takes longer than a signed request."""

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


def _nothing(_: object) -> None:
    return


async def in_thread(call: Callable[[], T], discard: Callable[[T], object] = _nothing) -> T:
    """Make a blocking call in a thread that has nothing else to do, and return its result.

    Args:
        call: What to call.
        discard: Called with the result if the caller was canceled meanwhile.
    """
    import asyncio  # not for those who only use the others

    def unwanted(future: Future[T]) -> None:
        if future.exception() is None:
            discard(future.result())

    future = begin(call)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        future.add_done_callback(unwanted)
        raise


def begin(call: Callable[[], T]) -> Future[T]:
    """Make a call in a thread that has nothing else to do; return its result to come."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # a call that has begun cannot be canceled
    with _lock:
        worker = _idle.pop() if _idle else None
    if worker is None:
        worker = _Worker()
        worker.start()
    worker.calls.put(lambda: _settle(future, call))
    return future


class _Worker(threading.Thread):
    """A thread that makes one call after another."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self) -> None:
        while True:
            try:
                self.calls.get(timeout=IDLE)()
            except queue.Empty:
                with _lock:
                    if self in _idle:
                        _idle.remove(self)
                        return
                continue  # it has just been given one
            with _lock:
                if len(_idle) >= MOST_IDLE:
                    return
                _idle.append(self)


_lock = threading.Lock()
_idle: list[_Worker] = []


def _forget_workers() -> None:
    """In a child process there are none."""
    global _lock  # noqa: PLW0603 - it may have been held
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


WORKERS = 16
"""Most calls that `together` makes at the same time."""


class Pool:
    """A few threads for many calls. A context manager; its end drops the calls that have not begun, and waits for none.

    Args:
        workers: How many calls are made at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._started = 0
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._calls.get_nowait()
        for _thread in range(self._started):
            self._calls.put(None)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Make a call as soon as a thread is free; return its result to come."""
        future: Future[T] = Future()
        self._calls.put(lambda: _settle(future, call))
        if self._started < self._workers:
            self._started += 1
            begin(self._work)
        return future

    def _work(self) -> None:
        while work := self._calls.get():
            work()


def together(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Make all calls at once and return their results in order; the first failure is raised."""
    pending = list(calls)
    if len(pending) < 2:
        return [call() for call in pending]
    with Pool(WORKERS) as pool:
        return [future.result() for future in [pool.submit(call) for call in pending]]


def for_each(call: Callable[[A], B], items: Iterable[A]) -> list[B]:
    """Make a call with each item, all at once, and return the results in order; the first failure is raised."""
    return together([partial(call, item) for item in items])


def both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Make two calls at once and return their results; the first one's failure is raised before the second one's."""
    other = begin(second)
    return first(), other.result()


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
