"""One buffer a thread for what is read and passed on at once, so that a connection owns none."""

from __future__ import annotations

import threading

SIZE = 65536


class _Scratch(threading.local):
    """`view` is the calling thread's buffer of `SIZE` bytes."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SIZE))


SCRATCH = _Scratch()
