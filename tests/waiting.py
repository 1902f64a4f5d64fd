"""Waiting for what happens elsewhere: in another thread or process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str = "it", *, timeout: float = 120, every: float = 0.01) -> T:
    """Return what a condition gives as soon as that is true.

    Args:
        condition: Is asked again and again.
        what: What does not happen, for the message.
        timeout: Seconds after which it will not happen any more. The default only ends a test that hangs.
        every: Seconds between two questions.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in {timeout:g} s"
        time.sleep(every)
    return found


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also where its parent has not yet taken note of that."""
    if sys.platform != "linux":
        shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()[:1] in ("", "Z")
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
