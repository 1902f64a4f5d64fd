"""Time: limits for a whole stage of a dial, growing pauses between attempts, and this machine's clock against AWS's.

A signature holds its time, and AWS refuses one of another time. A socket's own time-out is for each call only. Pauses
have jitter: clients that failed together do not return together.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

TOLERANCE = 240
"""Seconds of difference to AWS's clock from which the clock is named as a cause; SigV4 allows some 300."""


def seconds_ahead(date: str) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the `Date` of an answer that has just come.

    None if that is not a date.
    """
    from email.utils import parsedate_to_datetime

    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    return time.time() - theirs.timestamp()


def complaint(date: str, *, behind: float = TOLERANCE) -> str | None:
    """Return a hint if this machine's clock differs from an answer's `Date` by more than a signature can bear.

    `behind` is by how many seconds it may be behind: a presigned URL is good for less time than other signatures.
    """
    ahead = seconds_ahead(date)
    if ahead is None or -behind < ahead < TOLERANCE:
        return None
    direction = "ahead of" if ahead > 0 else "behind"
    return f"this machine's clock is {abs(ahead):.0f} s {direction} AWS's; to set it: {how_to_set()}"


def how_to_set() -> str:
    """Return the command that sets this machine's clock by the network."""
    if sys.platform == "darwin":
        return "sudo sntp -sS time.apple.com"
    return "w32tm /resync" if sys.platform == "win32" else "sudo timedatectl set-ntp true"


def seconds_left(deadline: float) -> float:
    """Return the seconds until a deadline (`time.monotonic()`).

    Raises:
        TimeoutError: There are none.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class DeadlineSocket(socket.socket):
    """A connected socket that has `timeout` seconds for all that it sends and receives. It takes over `sock`."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        super().__init__(fileno=sock.detach())
        self._deadline = time.monotonic() + timeout

    def recv(self, *arguments: Any) -> bytes:
        self.settimeout(seconds_left(self._deadline))
        return super().recv(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(seconds_left(self._deadline))
        super().sendall(*arguments)


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
