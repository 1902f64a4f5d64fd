"""Signals that end a process, as exceptions."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


def _exit(number: int) -> BaseException:
    return SystemExit(128 + number)


@contextlib.contextmanager
def end_by_exception(error: Callable[[int], BaseException] = _exit) -> Iterator[None]:
    """Let SIGTERM, Ctrl-\\ (SIGQUIT) and a closed terminal (SIGHUP) end the block by an exception.

    So what must be undone at the end is: files removed, the terminal's modes restored. Does nothing outside of the main
    thread.

    Args:
        error: Makes the exception from the signal's number; by default it ends the process with 128 + that.
    """

    def leave(number: int, _frame: object) -> None:
        raise error(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP", "SIGQUIT"):
            if number := getattr(signal, name, None):
                before[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
