"""Asking for an MFA code: on the terminal itself, because stdin may be a tunnel's data."""

from __future__ import annotations

import os
import re

from eicctl.core.errors import UsageError
from eicctl.support.redact import register


def ask_code(prompt: str) -> str:
    """Return what is typed on the terminal, without echo.

    Raises:
        UsageError: There is no terminal.
    """
    import getpass

    if os.name == "posix":
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        except OSError as error:
            failure = UsageError(
                "MFA code required, but there is no terminal to prompt on",
                hint="eicctl mfa login --token-code -; it reads the code from stdin. Then use the session's --profile",
            )
            failure.needs_terminal = True
            raise failure from error
    try:
        return getpass.getpass(prompt)
    except EOFError as error:
        raise UsageError("No MFA code entered") from error


def ask_checked_code(prompt: str) -> str:
    """Ask, and refuse what cannot be a code."""
    code = checked_code(ask_code(prompt))
    register(code)
    return code


def checked_code(text: str) -> str:
    """Return a code without blanks around it; refuse what cannot be one, without repeating it."""
    code = text.strip()
    if not re.fullmatch(r"[0-9]{6}", code):
        raise UsageError("MFA code must be 6 digits", hint="type what the device shows")
    return code
