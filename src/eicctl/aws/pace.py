"""A clock for calls that a service takes a few of a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Lets calls go one by one, with a pause between two. Threads share it.

    Args:
        interval: Seconds between two calls, at the least.
        clock: Tells the time in seconds.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        interval: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.interval = interval
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = float("-inf")

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self.interval
        while (left := turn - self._clock()) > 0:
            self._sleep(left)

    def hold(self, seconds: float) -> None:
        """Let nobody go for some seconds."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)
