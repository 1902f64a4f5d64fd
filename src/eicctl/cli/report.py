"""What people read on stderr: notes, errors, hints. Stdout belongs to a command's result."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from eicctl import errors, logs, shown
from eicctl.shown import printable as printable  # noqa: PLC0414 - commands have it from here

if TYPE_CHECKING:
    from eicctl.doctor.quick import Likely


def line(text: str) -> None:
    """Write one line for people. Control characters of foreign text are shown, not sent (`shown`)."""
    print(shown.message(text), file=sys.stderr, flush=True)  # noqa: T201


def failure(error: errors.EicctlError) -> int:
    """Print an error with its hint and return its exit code."""
    logs.failed(error)
    _error(error.message)
    if error.request_id:
        line(f"request ID: {error.request_id}")
    if likely := _likely_cause(error):
        line(f"likely cause: {likely.sentence}")
    if hint := likely.mend if likely and likely.mend else error.hint:
        line(f"hint: {hint}")
    return error.exit_code


def _error(text: str) -> None:
    """Write what went wrong; what others said may hold a secret."""
    from eicctl.logs.redact import redact

    line(redact(f"error: {text}"))


def _likely_cause(error: errors.EicctlError) -> Likely | None:
    if not isinstance(error, errors.TargetUnreachableError):
        return None
    from eicctl.cli.diagnosis import likely_cause

    return likely_cause(error)


def bug(error: Exception) -> int:
    """Report an exception that eicctl should have translated."""
    logs.failed(error)
    _error(f"unexpected {type(error).__name__}: {error}")
    line("hint: this is a defect of eicctl; run the command again with --debug and report what it prints")
    return 1


def broken_pipe() -> int:
    """End quietly when the reader of stdout is gone, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13
