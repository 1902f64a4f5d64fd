"""`eicctl ssh`: the background process is asked for the login before the command line has been read in full.

A guess for the usual words. Who has read them all compares, and drops the answer to another question.
"""

from __future__ import annotations

import sys

from eicctl.quick.words import NUMBERS, TEXTS, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_WITH_VALUE = {*TEXTS, *NUMBERS, "--host-key-check", "--os-user"} - {"--ssh-login"}


def ask_early(arguments: Sequence[str]) -> None:
    """Ask for the login that the arguments after `ssh` mean, if they are plain: long options, and a target."""
    if sys.platform != "linux":  # elsewhere OpenSSH has a proxy of its own, which asks itself
        return
    ours: list[str] = []
    os_user = ""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            break
        option, equals, value = word.partition("=")
        if option not in _WITH_VALUE or not (equals or rest):
            return
        value = value if equals else rest.pop(0)
        if option == "--os-user":
            os_user = value
        else:
            ours.append(f"{option}={value}")
    else:
        return
    if any(word.startswith("-") for word in rest[:1] if word != "--") or any(char in word for char in ":/[]"):
        return
    user, _, host = word.rpartition("@")
    if not (words := read([*ours, "--", host])):
        return
    from eicctl.agent import lend

    lend.asked_early = lend.ask_for_login(words, os_user or user), words, os_user or user
