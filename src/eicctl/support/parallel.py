"""Calls that do not depend on each other, at the same time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

A = TypeVar("A")
B = TypeVar("B")

WORKERS = 16


class Pool:
    """A few threads for many calls. A context manager; its end drops the calls that have not begun, and waits for none.

    The threads are daemons: unlike with `ThreadPoolExecutor`, Ctrl-C does not wait for a network that says nothing.

    Args:
        workers: How many calls are made at the same time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._started = 0
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Empty):
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
            threading.Thread(target=self._work, daemon=True).start()
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


def both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Make two calls at once and return their results; the first one's failure is raised before the second one's."""
    other = begin(second)
    return first(), other.result()


def begin(call: Callable[[], T]) -> Future[T]:
    """Make a call in a thread of its own, which does not keep the process alive; return its result to come."""
    future: Future[T] = Future()
    threading.Thread(target=_settle, args=(future, call), daemon=True).start()
    return future


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
