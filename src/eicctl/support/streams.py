"""Stdin, stdout and stderr that were closed before this process started; and the terminal, whatever they are."""

from __future__ import annotations

import os
import sys

from eicctl.support.activity import Hidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


def open_closed() -> None:
    """Open closed ones on the null device.

    Otherwise the next socket would get the number of one, and what is meant for people would go to it; and Python has
    no object for one that is closed.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
            if getattr(sys, name) is None:
                setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def on_terminal() -> bool:
    """Whether stdin and stdout are a terminal."""
    return os.isatty(0) and os.isatty(1)


class Terminal:
    """The terminal for a program that may ask something: stdin and stdout may be a tunnel's data. A context manager.

    Its value is None if there is none, or where this process is not in its foreground and would be stopped if it
    read from it.
    """

    def __enter__(self) -> int | None:
        self._descriptor: int | None = None
        try:
            if os.name == "posix":
                self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
                if os.tcgetpgrp(self._descriptor) != os.getpgrp():
                    self._close()
            elif sys.stdin and sys.stdin.isatty():
                self._descriptor = os.dup(sys.stdin.fileno())
        except OSError:
            self._close()
        Hidden().__enter__()
        return self._descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Hidden().__exit__(kind, error, trace)
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
