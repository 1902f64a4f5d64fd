"""Buffers of a thread for what is read and passed on at once, so that a connection owns none."""

from __future__ import annotations

import threading

SIZE = 2**18


class _Scratch(threading.local):
    """The calling thread's buffers: `cipher` for bytes that come encrypted, and `view` for plain ones.

    `view` is longer: to what one read brings, the end of a TLS record that an earlier one has brought may add.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SIZE + 2**15))
        self.cipher = memoryview(bytearray(SIZE))


SCRATCH = _Scratch()
