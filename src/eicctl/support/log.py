"""What happened, for bug reports: `--debug` on stderr, and a log file.

Programs that use eicctl as a library are left alone: nothing is set up unless `configure` is called, which the command
line does. Importing this room loads nothing, not even `logging`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

VARIABLE = "EICCTL_LOG_FILE"
"""The environment variable that names the log file. It is set for the processes that a command starts."""


def configure(*, debug: bool = False, log_file: str | None = None, command: str = "") -> None:
    """Log to stderr, if `debug`, and to a file, if one is named. What is once on stays on.

    Nothing goes wrong here: a file that cannot be written is warned of, once.

    Args:
        debug: Log to stderr.
        log_file: The file; None for that of `EICCTL_LOG_FILE`, or of config.toml, or none.
        command: The command's name, for the first line.
    """
    named = log_file or os.environ.get(VARIABLE) or _of_config()
    if not debug and not named:
        return
    from eicctl.support.logging_setup import begin

    begin(debug=debug, path=named, command=command)


def debugging() -> bool:
    """Whether `--debug` is in force."""
    setup = _setup()
    return setup is not None and bool(setup.debugging())


def on() -> bool:
    """Whether anything is logged."""
    setup = _setup()
    return setup is not None and bool(setup.on())


def ended(code: int) -> None:
    """Log the end of a command that `configure` was called for."""
    if setup := _setup():
        setup.ended(code)


def failed(error: BaseException) -> None:
    """Log what a command fails with, and where."""
    if setup := _setup():
        setup.failed(error)


def _setup() -> ModuleType | None:
    """The module with the handlers, if something has imported it: `configure`, where anything is logged."""
    return sys.modules.get("eicctl.support.logging_setup")


def _of_config() -> str:
    """The file that config.toml names; empty if it names none, or is not as it should be."""
    from eicctl.core import errors
    from eicctl.support import defaults

    try:
        return str(defaults.of_user().get("log_file", ""))
    except errors.EicctlError:  # the command that needs the file says what is wrong with it
        return ""
