"""Reads that do not depend on each other, at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

WORKERS = 16


def together(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Make all calls at once and return their results in order; the first failure is raised."""
    pending = list(calls)
    if len(pending) < 2:
        return [call() for call in pending]
    with ThreadPoolExecutor(min(len(pending), WORKERS)) as pool:
        return [future.result() for future in [pool.submit(call) for call in pending]]
