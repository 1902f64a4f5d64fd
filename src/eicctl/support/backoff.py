"""Growing pauses between attempts, with jitter: clients that failed together do not return together."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


class Backoff:
    """The pauses of one series of attempts.

    Args:
        first: Seconds of the first pause.
        longest: Seconds that no pause exceeds.
        growth: By what each pause is longer than the one before.
        jitter: The part of a pause that is left to chance: 0.5 gives half of it up to all of it.
    """

    def __init__(self, first: float, longest: float, *, growth: float = 2.0, jitter: float = 0.5) -> None:
        self._first = self._next = first
        self._longest = longest
        self._growth = growth
        self._jitter = jitter

    def pause(self) -> float:
        """Return the seconds to wait now; the next pause is longer."""
        now, self._next = self._next, min(self._next * self._growth, self._longest)
        return random.uniform(now * (1 - self._jitter), now)  # noqa: S311 - jitter is not a secret

    def attempts(self, timeout: float) -> Iterator[bool]:
        """Yield before each attempt, with the pauses in between, for `timeout` seconds; True before the last one."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            yield False
            time.sleep(min(self.pause(), left))
        yield True

    def reset(self) -> None:
        """Begin anew: an attempt has succeeded."""
        self._next = self._first
