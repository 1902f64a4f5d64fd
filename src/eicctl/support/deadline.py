"""Time limits for a whole stage of a dial, where a socket's own time-out is for each call."""

from __future__ import annotations

import socket
import time
from typing import Any


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
