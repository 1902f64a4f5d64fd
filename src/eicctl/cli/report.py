"""What people read on stderr: notes, errors, hints. Stdout belongs to a command's result."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING

from eicctl import errors, logs, shown
from eicctl.shown import printable as printable  # noqa: PLC0414 - commands have it from here

if TYPE_CHECKING:
    from eicctl.doctor.quick import Likely

_ROOM = "make room where eicctl writes, or write elsewhere; EICCTL_HOME moves eicctl's own files"
_DESCRIPTORS = "ulimit -n says how many files a process may have open"
_FULL = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: _ROOM,
    errno.EIO: _ROOM,
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: _DESCRIPTORS,
}
"""What to do about errors that any write or open may meet on a machine that has no more of something."""


def line(text: str) -> None:
    """Write one line for people. Control characters of foreign text are shown, not sent (`shown`)."""
    with contextlib.suppress(OSError):  # whoever has read stderr is gone, or its disk is full: what is served goes on
        print(shown.message(text), file=sys.stderr, flush=True)  # noqa: T201


def told(text: str) -> None:
    """Write one line on stdout about what goes on. Where nobody reads it any more, that goes on all the same."""
    try:
        print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        broken_pipe()
    except OSError:  # a full disk, say, which may have room again for the next one
        return


def event(name: str, **fields: object) -> None:
    """Write one JSON object, as a line, on stdout: see `told`."""
    import json

    told(json.dumps({"Event": name, **fields}))


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
    if isinstance(error, OSError) and (hint := _what_is_full(error)):
        about = f": {error.filename}" if error.filename else ""
        _error(f"{error.strerror}{about}")
        line(f"hint: {hint}")
        return 1
    _error(f"unexpected {type(error).__name__}: {error}")
    line("hint: this is a defect of eicctl; run the command again with --debug and report what it prints")
    return 1


def _what_is_full(error: OSError) -> str | None:
    """Return what to do about an error of a machine that has no more of something, or None for any other error."""
    if str(error.strerror).startswith("No usable temporary directory"):  # of Python's tempfile
        return _ROOM
    return _FULL.get(error.errno or 0)


def broken_pipe() -> int:
    """End quietly when the reader of stdout is gone, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13
