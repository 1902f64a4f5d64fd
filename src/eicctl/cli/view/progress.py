"""Progress of a wait on stderr: a live line on a terminal, otherwise a line for each change."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from eicctl.cli.view import messages


class Waiting:
    """Shows elapsed time and state.

    Args:
        what: What is waited for.
        interrupted: Printed when the user interrupts the wait.
    """

    def __init__(self, what: str, *, interrupted: str = "") -> None:
        self._what = what
        self._interrupted = interrupted
        self._started = time.monotonic()
        self._live = sys.stderr.isatty()
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            messages.live("")
        if self._interrupted and kind is KeyboardInterrupt:
            messages.line(self._interrupted)

    def show(self, state: str) -> None:
        """Show the current state."""
        elapsed = time.monotonic() - self._started
        if self._live:
            messages.live(f"{self._what}: {state} ({elapsed:.0f} s)")
        elif state != self._last:
            messages.line(f"{self._what}: {state} ({elapsed:.0f} s)")
        self._last = state
