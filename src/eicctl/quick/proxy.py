"""`eicctl proxy`: stdin and stdout as one tunnel. Carried by the background process where one listens, else here.

Nothing is imported that is not used: what OpenSSH waits for is the first byte.
"""

from __future__ import annotations

import os

from eicctl import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from eicctl.agent.words import Words
    from eicctl.aws.session import Session
    from eicctl.errors import EicctlError
    from eicctl.model import Target

    class Teller(Protocol):
        """Tells the user, on stderr."""

        def line(self, text: str) -> None:
            """Tell what the user should know."""

        def failure(self, error: EicctlError, session: Session | None, target: Target | None) -> int:
            """Tell of an error, with its likely cause where session and target are known; return the exit code."""


def run(words: Words, tell: Teller) -> int:
    """Carry stdin and stdout until one side ends; return the exit code."""
    # What happens in another process is not in the log of this one.
    if not words["no_agent"] and not os.environ.get(logs.VARIABLE):
        from eicctl.agent.lend import carried

        ended = carried(words, tell.line)
        if ended is not None:
            if not ended.get("Error"):
                return 0
            from eicctl.quick.carried_there import failed

            return failed(ended, words, tell)
    logs.configure(command="proxy")
    from eicctl.quick.carried_here import carry

    return carry(words, tell)
