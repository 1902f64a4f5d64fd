"""What people read on stderr: notes, errors, hints. Stdout belongs to a command's result."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import unicodedata
from typing import TYPE_CHECKING

from eicctl import errors

if TYPE_CHECKING:
    from eicctl.doctor.quick import Likely

_debug = False

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


def set_debug(on: bool) -> None:
    """Show tracebacks and log records of eicctl, if `on`. Once on, it stays on."""
    global _debug  # noqa: PLW0603 - one process runs one command
    if not on or _debug:
        return
    _debug = True
    import logging

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("eicctl").setLevel(logging.DEBUG)


def line(text: str) -> None:
    """Write one line for people. Control characters of foreign text are shown, not sent."""
    with contextlib.suppress(OSError):  # whoever has read stderr is gone, or its disk is full: what is served goes on
        print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


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


def printable(text: str) -> str:
    """Return `text` with control and bidirectional-override characters written as escapes.

    Newlines and tabs stay. Names, tags and close reasons come from others and may try to steer a terminal.
    """
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs") else ascii(char)[1:-1]
        for char in text
    )


def failure(error: errors.EicctlError) -> int:
    """Print an error with its hint and return its exit code."""
    if _debug:
        import traceback

        traceback.print_exception(error)
    line(f"error: {error.message}")
    if error.request_id:
        line(f"request ID: {error.request_id}")
    if likely := _likely_cause(error):
        line(f"likely cause: {likely.sentence}")
    if hint := likely.mend if likely and likely.mend else error.hint:
        line(f"hint: {hint}")
    return error.exit_code


def _likely_cause(error: errors.EicctlError) -> Likely | None:
    if not isinstance(error, errors.TargetUnreachableError):
        return None
    from eicctl.cli.diagnosis import likely_cause

    return likely_cause(error)


def bug(error: Exception) -> int:
    """Report an exception that eicctl should have translated."""
    if _debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OSError) and (hint := _what_is_full(error)):
        about = f": {error.filename}" if error.filename else ""
        line(f"error: {error.strerror}{about}")
        line(f"hint: {hint}")
        return 1
    line(f"error: unexpected {type(error).__name__}: {error}")
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
