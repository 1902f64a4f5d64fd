"""Messages on stderr: notes, errors, hints. Stdout is for a command's result."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

import click

from eicctl.core import errors, sanitize
from eicctl.core.columns import cut, wrap
from eicctl.core.sanitize import printable as printable  # noqa: PLC0414 - commands have it from here
from eicctl.support import activity, log, pins

if TYPE_CHECKING:
    from eicctl.doctor.diagnosis import Cause

_ROOM = "free disk space, or move eicctl's files to another disk: export EICCTL_HOME=FOLDER"
_DESCRIPTORS = "raise the limit of open files: ulimit -n 4096"
_FULL = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: _ROOM,
    errno.EIO: _ROOM,
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: _DESCRIPTORS,
}
"""Hints for errors of a machine that has run out of a resource."""


_COMMAND = re.compile(
    r"\s*(?:[\w ]+:\s+)?(?:\w+=\S+ )*"
    r"(?:eicctl|aws|ssh|ssh-keygen|scp|sftp|psql|mysql|sqlcmd|sqlplus|mongosh|redis-cli"
    r"|export|unset|eval|kill|pip|sudo) "
)
"""Start of a line that is a command, perhaps after a label."""

_PROSE = re.compile(r"[;,?] ")
"""Punctuation that no command has outside of quotes."""

_CLEAR = "\r\x1b[K"

_quiet = False
_verbose = False

_lock = threading.RLock()
_live = ""
"""The text of the live line; empty if there is none."""

arguments: list[str] = []
"""The command line of this process, without the program."""


def set_level(*, quiet: bool = False, verbose: bool = False) -> None:
    """Set what this process prints on stderr: with `quiet` errors only, with `verbose` explanations, too."""
    global _quiet, _verbose
    _quiet, _verbose = quiet, verbose


def quiet() -> bool:
    """Whether only errors are printed."""
    return _quiet


def verbose() -> bool:
    """Whether explanations are printed."""
    return _verbose


def explain(text: str) -> None:
    """Print a line of an explanation on stderr, if explanations are wanted."""
    if _verbose:
        _line(text)


def line(text: str, *, pin: bool = True, problem: bool = False) -> None:
    """Print a note on stderr, unless only errors are wanted.

    Args:
        text: The line. Command lines in it get this process's `--profile` and `--region`.
        pin: False if its command lines are for another profile or region.
        problem: Whether it is about something that failed, and printed also where only errors are wanted.
    """
    if problem or not _quiet:
        _line(pins.pinned(text) if pin else text)


def live(text: str) -> None:
    """Replace the current line of a terminal; an empty text removes it.

    It is cut at the terminal's width: a line that the terminal wraps could not be removed.
    """
    global _live  # noqa: PLW0603 - a terminal has one
    with _lock:
        if not _quiet and (text or _live):
            _live = text
            with contextlib.suppress(OSError):
                line, width = sanitize.line(text), terminal_width(sys.stderr) - 1
                sys.stderr.write(_CLEAR + (cut(line, width, end="") if width > 0 else line))
                sys.stderr.flush()


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Print within the block: the live line is away meanwhile, and nobody else prints."""
    with _lock:
        text = _live
        live("")
        yield
        if text:
            live(text)


def out(text: str) -> None:
    """Print a line of a result on stdout, wrapped on a terminal."""
    with printing():
        click.echo(fitted(printable(text), sys.stdout))


def status(text: str) -> None:
    """Print a line on stdout about a running operation, which continues even if stdout is closed or full."""
    _print_line(fitted(text, sys.stdout))


def json_line(value: object) -> None:
    """Print a JSON value as a line on stdout, as `status` does."""
    import json

    _print_line(json.dumps(value))


def fitted(text: str, file: TextIO) -> str:
    """Wrap prose to the width of the terminal `file`, or of that to which the command that runs OpenSSH passes it on.

    A command stays on one line, so that it can be copied.
    """
    if not (width := terminal_width(file) or int(os.environ.get(activity.COLUMNS) or 0)):
        return text
    # Indented, so that no word of foreign text looks like the start of a message.
    return "\n".join(
        part if is_command(part) else "\n".join(wrap(part, width, indent="  ")) for part in text.split("\n")
    )


def terminal_width(file: TextIO) -> int:
    """Return the width of the terminal `file`, or 0 if it is not a terminal."""
    try:
        if not file.isatty():
            return 0
        given = os.environ.get("COLUMNS", "")  # as rich has it
        return int(given) if given.isdigit() else os.get_terminal_size(file.fileno()).columns
    except (OSError, ValueError):  # closed, or a stand-in without a descriptor
        return 0


def is_command(text: str) -> bool:
    """Return whether a line is a command, perhaps after a label, and not a sentence that begins with one."""
    return bool(_COMMAND.match(text)) and not _PROSE.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", text))


def without_label(text: str) -> str:
    """Return a command without the label before it."""
    return re.sub(r"^\s*[\w ]+:\s+", "", text).strip()


def _line(text: str) -> None:
    """Print a line on stderr, with control characters made visible."""
    with printing(), contextlib.suppress(OSError):  # stderr is closed or its disk is full: the operation continues
        print(fitted(sanitize.message(text), sys.stderr), file=sys.stderr, flush=True)  # noqa: T201


def _print_line(text: str) -> None:
    try:
        with printing():
            print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        broken_pipe()
    except OSError:  # such as a full disk, which may have room for the next line
        return


def event(name: str, **fields: object) -> None:
    """Print an event as a JSON object on stdout. Commands in its `Hint` get `--profile` and `--region`."""
    if isinstance(hint := fields.get("Hint"), str):
        fields["Hint"] = pins.pinned(hint)
    json_line({"Event": name, **fields})


def failure(error: errors.EicctlError) -> int:
    """Print an error with its hint and return its exit code."""
    log.failed(error)
    likely = _likely_cause(error)
    hint = likely.remediation if likely and likely.remediation else _corrected(error) or error.hint
    print_error(
        errors.kind_of(error),
        error.message,
        pins.pinned(hint) if hint else None,
        request_id=error.request_id,
        likely_cause=likely.summary if likely else None,
    )
    return error.exit_code


_OPENSSH = ("proxy", "scp", "sftp", "ssh")
"""Commands without `--output`, whose words may be those of another program."""


def json_wanted() -> bool:
    """Whether this process's command line says `--output json`: errors are JSON, too, then."""
    for word, after in itertools.pairwise([*arguments, ""]):
        if word in _OPENSSH or word == "--":
            return False
        if word == "--output=json" or (word, after) == ("--output", "json"):
            return True
    return False


def print_error(
    code: str,
    message: str,
    hint: str | None = None,
    *,
    request_id: str | None = None,
    likely_cause: str | None = None,
) -> None:
    """Print an error on stderr: as lines, or with `--output json` as one JSON object on a line.

    Args:
        code: What kind it is: the name of the class in `core.errors`, `Interrupted`, or `InternalError`.
        message: What happened. Secrets that a foreign message may contain are removed.
        hint: What to do.
        request_id: AWS's request ID.
        likely_cause: Why the target is unreachable.
    """
    if code == INTERRUPTED and _quiet:
        return
    if json_wanted():
        import json

        from eicctl.support.redact import redact

        found = {"Code": code, "Message": redact(message), "Hint": hint, "RequestId": request_id}
        if likely_cause:
            found["LikelyCause"] = likely_cause
        with printing(), contextlib.suppress(OSError):
            print(json.dumps({"Error": found}), file=sys.stderr, flush=True)  # noqa: T201
        return
    lines = error_lines(message, hint, request_id=request_id, likely_cause=likely_cause)
    for line in ("interrupted", *lines[1:]) if code == INTERRUPTED else lines:
        _line(line)


def error_lines(
    message: str, hint: str | None = None, *, request_id: str | None = None, likely_cause: str | None = None
) -> list[str]:
    """Return an error as people read it, a label before each part; for the arguments see `print_error`."""
    from eicctl.support.redact import redact

    parts = {"request ID": request_id, "likely cause": likely_cause, "hint": hint}
    return [redact(f"error: {message}"), *(f"{label}: {text}" for label, text in parts.items() if text)]


INTERRUPTED = "Interrupted"
"""The code of an error for Ctrl-C."""


def again(*more: str, first: bool = False, without: Iterable[str] = ()) -> str:
    """Return this process's command line with more options, as a hint that works in any shell.

    Args:
        more: The options.
        first: Put them after the command's name, as what follows `--` is another program's.
        without: Options that are omitted, with their values.
    """
    context, own = click.get_current_context(silent=True), arguments
    params = context.command.params if context else []
    flags = {name for one in params if getattr(one, "is_flag", False) for name in one.opts}
    for option in without:
        own = _without(own, option, flag=option in flags)
    at = own.index(context.info_name) + 1 if first and context and context.info_name in own else len(own)
    words = [*own[:at], *more, *own[at:]]
    given = {word.partition("=")[0] for word in words}
    return pins.command_line(
        ["eicctl", *words],
        profile="" if "--profile" in given else None,
        region="" if "--region" in given else None,
    )


def _corrected(error: errors.EicctlError) -> str | None:
    """Return this process's command line with the word that may have been meant, or None."""
    typed, meant, profile, region = error.correction or ("", "", "", "")
    word = re.compile(rf"(^|[@:=]){re.escape(typed)}(?=:|$)")
    place = next((place for place, text in enumerate(arguments) if typed and word.search(text)), None)
    if place is None:
        return None
    pair = [(name, value) for name, value in zip(pins.BOTH, (profile, region), strict=True) if value]
    given, after = arguments[:place], arguments[place + 1 :]
    end = after.index("--") if "--" in after else len(after)
    own, remote = after[:end], after[end:]
    for option, _ in pair:
        given, own = _without(given, option), _without(own, option)
    right = word.sub(lambda match: match[1] + meant, arguments[place], count=1)
    return pins.command("eicctl", *given, right, *(part for option in pair for part in option), *own, *remote)


def _without(words: list[str], option: str, *, flag: bool = False) -> list[str]:
    """Return words without an option and its value; a flag has none."""
    while option in words:
        at = words.index(option)
        words = words[:at] + words[at + (1 if flag else 2) :]
    return [word for word in words if not word.startswith(f"{option}=")]


def _likely_cause(error: errors.EicctlError) -> Cause | None:
    if not isinstance(error, errors.TargetUnreachableError):
        return None
    from eicctl.doctor.likely_cause import likely_cause

    return likely_cause(error)


def bug(error: Exception) -> int:
    """Report an unexpected exception and return the exit code."""
    log.failed(error)
    print_error(*unexpected(error))
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    return 1


def unexpected(error: BaseException) -> tuple[str, str, str]:
    """Return what `print_error` takes of an exception that no code has expected: its code, message and hint."""
    if isinstance(error, OSError) and (hint := _what_is_full(error)):
        about = f": {error.filename}" if error.filename else ""
        return ("LocalError", f"{error.strerror}{about}", hint)
    hint = "this is a bug in eicctl; run the command again with --debug and report its output"
    return ("InternalError", f"Unexpected {type(error).__name__}: {error}", hint)


def _what_is_full(error: OSError) -> str | None:
    """Return the hint for an error of a machine that has run out of a resource, or None."""
    if str(error.strerror).startswith("No usable temporary directory"):  # of Python's tempfile
        return _ROOM
    return _FULL.get(error.errno or 0)


def broken_pipe() -> int:
    """Return the exit code for a closed stdout, as after `| head`, and discard further output."""
    _discard_output()
    return 128 + 13


def _discard_output() -> None:
    """Discard what stdout still buffers: Python would write it again at its end, and exit with 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
