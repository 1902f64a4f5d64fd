"""What this process is waiting for, for a display. Without one it costs nothing.

Nothing that takes time is imported: `eicctl proxy` has this module before everything else.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, Self

    class Watcher(Protocol):
        """Shows activities. Called from several threads."""

        def begin(self, activity: Activity) -> None:
            """An activity begins."""

        def end(self, activity: Activity) -> None:
            """An activity has ended; calling it again does nothing."""

        def hide(self) -> None:
            """Something else has the terminal."""

        def unhide(self) -> None:
            """The terminal is free again."""

        def stop(self) -> None:
            """Nothing is shown any more."""


COLUMNS = "EICCTL_COLUMNS"
"""The variable by which a command that runs OpenSSH names the width of its terminal to the ProxyCommand."""


def export_width() -> None:
    """Set `COLUMNS` for the processes that this one starts; without a terminal, it is unset."""
    try:
        os.environ[COLUMNS] = str(os.get_terminal_size(2).columns)
    except OSError:
        os.environ.pop(COLUMNS, None)


TARGET = "EICCTL_TARGET"
"""The variable by which such a command names its target to the ProxyCommand, by name rather than by ID."""


def export_target(name: str) -> None:
    """Set `TARGET` for the processes that this one starts."""
    os.environ[TARGET] = name


watcher: Watcher | None = None
"""Shows the activities of this process."""


class Activity:
    """Something that may take long. A context manager.

    Attributes:
        kind: What is done: an operation of AWS's API, `connect`, `credentials`, or `slot`: the wait for one.
        where: Its region, its target, or what the user should know of the slot.
        throttled: Whether AWS has throttled it, so that it takes longer.
    """

    def __init__(self, kind: str, where: str = "") -> None:
        self.kind = kind
        self.where = where
        self.throttled = False

    def __enter__(self) -> Self:
        if watcher:
            watcher.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        if watcher:
            watcher.end(self)


class Hidden:
    """While a question, another program or another display has the terminal. A context manager."""

    def __enter__(self) -> None:
        if watcher:
            watcher.hide()

    def __exit__(self, *_: object) -> None:
        if watcher:
            watcher.unhide()
