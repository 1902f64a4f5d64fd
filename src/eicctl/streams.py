"""Stdin, stdout and stderr, where who has started this process has closed them."""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Let closed ones lead to nowhere.

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
