"""Which host keys a login accepts: those that AWS vouches for, those seen before, or the first that is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from eicctl.aws.console import console_output
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, UsageError
from eicctl.ssh.console_keys import host_keys
from eicctl.ssh.known_hosts import by_instance
from eicctl.support import settings

Check = Literal["console", "accept-new", "strict", "off"]
"""How to check: by the console's keys and else the first seen; the first seen; only keys known already; not at all."""

CHECKS: tuple[Check, ...] = get_args(Check)


def configured_check() -> Check:
    """Return how the user has set host keys to be checked in config.toml; `console` where nothing is set.

    Raises:
        UsageError: It is set to something else.
    """
    configured = settings.config().host_key_check
    if not configured:
        return "console"
    for check in CHECKS:
        if check == configured:
            return check
    raise UsageError(
        f"{settings.config_file()}: host_key_check is {configured!r}", hint=f"it is one of {', '.join(CHECKS)}"
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What OpenSSH is told of a host's keys.

    Attributes:
        strict: The value of StrictHostKeyChecking (ssh_config(5)).
        note: What the user should know, or an empty string.
    """

    strict: str
    note: str = ""


def pinned_already(check: Check, name: str) -> Verdict | None:
    """Return the verdict if it takes no call of AWS, else None.

    Args:
        check: How to check.
        name: Instance ID, or the address of a host that is no instance.

    Raises:
        UsageError: The check is `strict`, and no key is known.
    """
    if check == "off":
        return Verdict("no", f"the host key of {name} is not checked: whoever answers in its place will not be noticed")
    if by_instance().keys(name):
        return Verdict("yes")
    if check == "strict":
        raise UsageError(
            f"no host key of {name} is known, and the check is strict",
            hint="--host-key-check console takes it from the instance's console output",
        )
    if check == "accept-new" or not name.startswith("i-"):
        return Verdict("accept-new")
    return None


def pin_from_console(session: Session, instance_id: str) -> Verdict:
    """Take an instance's keys from its console, pin them, and return the verdict; the first key seen is the fallback.

    That is said: an instance just booted has nothing on its console for some minutes, a long-lived one has written
    over it, and the right to read it may be missing.
    """
    try:
        keys = read_console(session, instance_id)
    except EicctlError as error:
        why = error.message
    else:
        if keys:
            by_instance().pin(instance_id, keys)
            return Verdict("yes", f"host keys of {instance_id} pinned from its console output")
        why = "its console output has none"
    return Verdict("accept-new", f"host keys of {instance_id} are not known ({why}); the first one seen is accepted")


def read_console(session: Session, instance_id: str) -> tuple[str, ...]:
    """Return the host keys on an instance's console; nothing where it has none.

    Raises:
        EicctlError: The console cannot be read.
    """
    keys = host_keys(console_output(session, instance_id))
    if keys:
        return keys
    try:
        return host_keys(console_output(session, instance_id, latest=True))
    except EicctlError:  # not every instance type has it
        return ()
