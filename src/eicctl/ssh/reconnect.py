"""A shell that outlives its connection: it runs in tmux or screen on the instance, and is attached to again."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence

from eicctl.core.errors import DurationReachedError, EicctlError, NetworkError, UsageError
from eicctl.ssh.process import Outcome
from eicctl.support.clock import Backoff

SESSION = "eicctl"
"""The usual name of the session on the instance."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")

_LONGEST_PAUSE = 30.0


def remote_command(name: str, command: Sequence[str]) -> str:
    """Return the remote command that attaches to a session, or starts it.

    Args:
        name: The session's name.
        command: What to run in a new session; a shell where empty.

    Raises:
        UsageError: The name has other characters than letters, digits, `-` and `_`, which tmux gives a meaning.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"Invalid session name: {name!r}", hint="use letters, digits, - and _")
    line = " ".join(command)  # as ssh joins them; the remote shell reads them
    in_tmux = f" {shlex.quote(line)}" if line else ""
    in_screen = f" sh -c {shlex.quote(line)}" if line else ""
    otherwise = line or 'exec "${SHELL:-sh}" -l'
    script = (
        f"if command -v tmux >/dev/null 2>&1; then exec tmux new-session -A -s {name}{in_tmux}; "
        f"elif command -v screen >/dev/null 2>&1; then exec screen -xRR -S {name}{in_screen}; "
        'else echo "eicctl: neither tmux nor screen is installed, so this session ends with its connection" >&2; '
        f"{otherwise}; fi"
    )
    return f"exec sh -c {shlex.quote(script)}"


def keep(connect: Callable[[], Outcome], host: str, say: Callable[[str], None]) -> Outcome:
    """Connect, and reconnect whenever the connection is lost; return how the session, or the last attempt, ended.

    A connection is lost when its tunnel reached its maximum duration, or broke. The network may be down for long, so
    attempts continue, with pauses of up to 30 s, until the user interrupts.

    Args:
        connect: Makes one connection and returns when it has ended; raises if there was none.
        host: The host's label.
        say: Called with one line for each loss.

    Raises:
        EicctlError: The first connection failed, or a later one for a reason that is not transient.
    """
    outcome = connect()
    while cause := lost(outcome):
        reason = "maximum duration reached" if isinstance(cause, DurationReachedError) else cause.message
        say(f"{reason}; reconnecting to the session on {host}")
        outcome = _again(connect, say)
    return outcome


def lost(outcome: Outcome) -> EicctlError | None:
    """Return why a connection was lost, or None if it ended normally or never existed."""
    if outcome.code != 255 or not outcome.lived:
        return None
    return next((e for e in outcome.errors if isinstance(e, DurationReachedError | NetworkError)), None)


def _again(connect: Callable[[], Outcome], say: Callable[[str], None]) -> Outcome:
    backoff, first = Backoff(1.0, _LONGEST_PAUSE), True
    while True:
        try:
            return connect()
        except EicctlError as error:
            if not error.transient:
                raise
            if first:
                say(f"{error.message}; retrying (Ctrl-C to stop)")
        first = False
        time.sleep(backoff.pause())
