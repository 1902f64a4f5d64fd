"""Calls that do not depend on each other, at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

A = TypeVar("A")
B = TypeVar("B")

WORKERS = 16


def together(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Make all calls at once and return their results in order; the first failure is raised."""
    pending = list(calls)
    if len(pending) < 2:
        return [call() for call in pending]
    with ThreadPoolExecutor(min(len(pending), WORKERS)) as pool:
        return [future.result() for future in [pool.submit(call) for call in pending]]


def both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Make two calls at once and return their results; the first one's failure is raised before the second one's."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(second)
        return first(), other.result()


def begin(call: Callable[[], T]) -> Future[T]:
    """Make a call in a thread of its own, which does not keep the process alive; return its result to come."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
