"""Stdin, stdout and stderr that were closed before this process started; and the terminal, whatever they are."""

from __future__ import annotations

import contextlib
import os
import sys

from eicctl.support.activity import Hidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


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


@contextlib.contextmanager
def terminal() -> Iterator[int | None]:
    """Open the terminal for a program that may ask something: stdin and stdout may be a tunnel's data.

    None where there is none, or where this process is not in its foreground and would be stopped if it read from it.
    """
    descriptor = None
    try:
        if os.name == "posix":
            descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            if os.tcgetpgrp(descriptor) != os.getpgrp():
                raise BlockingIOError
        elif sys.stdin and sys.stdin.isatty():
            descriptor = os.dup(sys.stdin.fileno())
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        descriptor = None
    try:
        with Hidden():
            yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
