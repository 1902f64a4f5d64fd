"""`eicctl proxy`: stdin and stdout as one tunnel. Carried by the background process where one listens, else here.

Nothing is imported that is not used: what OpenSSH waits for is the first byte.
"""

from __future__ import annotations

import os

from eicctl.support import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from eicctl.agent.words import Words
    from eicctl.aws.session import Session
    from eicctl.core.errors import EicctlError
    from eicctl.core.model import Target

    class Printer(Protocol):
        """Prints on stderr."""

        def line(self, text: str) -> None:
            """Print what the user should know."""

        def announcement(self, text: str) -> None:
            """Print a line while OpenSSH has the terminal."""

        def failure(self, error: EicctlError, session: Session | None, target: Target | None) -> int:
            """Print an error, with its likely cause where session and target are known; return the exit code."""


class Teller:
    """Tells the user what happens; of a failure, the eicctl command that runs OpenSSH, where there is one.

    Args:
        words: What is to be opened.
        printer: Prints on stderr.
    """

    def __init__(self, words: Words, printer: Printer) -> None:
        self._words = words
        self._printer = printer

    def line(self, text: str) -> None:
        """Tell what the user should know."""
        if not self._words["quiet"]:
            self._printer.line(text)

    def opened(self, max_duration: float) -> None:
        """The tunnel is open, for so many seconds at most; its end is announced where that is wanted."""
        before = self._words["announce_end"]
        if before and max_duration > before:
            import threading

            text = f"this connection ends in {before} s"
            timer = threading.Timer(max_duration - before, self._printer.announcement, [text])
            timer.daemon = True
            timer.start()

    def failure(
        self, error: EicctlError, session: Session | None = None, target: Target | None = None, lived: float = 0.0
    ) -> int:
        """Tell of an error; return the exit code.

        Args:
            error: The error.
            session: Access to AWS, for the likely cause.
            target: Where the tunnel was to go, where that is known.
            lived: For how many seconds it was open.
        """
        if folder := self._words["session_folder"]:
            from eicctl.ssh import failure_reports

            try:
                failure_reports.add(folder, failure_reports.Failure(self._words["words"], error, lived))
            except OSError:  # the command has gone before OpenSSH, as with `ssh -f`
                pass
            else:
                return error.exit_code
        return self._printer.failure(error, session, target)


def run(words: Words, printer: Printer) -> int:
    """Carry stdin and stdout until one side ends; return the exit code."""
    tell = Teller(words, printer)
    # What happens in another process is not in the log of this one.
    if not words["no_agent"] and not os.environ.get(log.VARIABLE):
        from eicctl.agent.delegate import carried

        ended = carried(words, tell.line, tell.opened)
        if ended is not None:
            if not ended.get("Error"):
                return 0
            from eicctl.fastpath.carried_there import failed

            return failed(ended, words, tell)
    log.configure(command="proxy")
    from eicctl.fastpath.direct import carry

    return carry(words, tell)
