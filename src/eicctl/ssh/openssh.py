"""OpenSSH's programs, run with `eicctl proxy` as their ProxyCommand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eicctl.core.errors import EicctlError
from eicctl.ssh import failure_reports
from eicctl.ssh.login import Login
from eicctl.ssh.process import run


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Attributes:
        code: Its exit code.
        stderr: The end of what it wrote there; it has been passed on.
        errors: Why tunnels failed or ended, where that was no ordinary end.
        lived: The longest time that a tunnel that failed was open, in seconds.
    """

    code: int
    stderr: str
    errors: tuple[EicctlError, ...] = ()
    lived: float = 0.0


def run_program(command: Sequence[str], folder: Path) -> Outcome:
    """Run an OpenSSH program whose ProxyCommands report to a folder.

    Raises:
        EicctlError: Why no tunnel was opened; the program has connected nowhere.
    """
    failures: list[failure_reports.Failure] = []

    def told() -> bool:
        failures.extend(failure_reports.take(folder))
        return bool(failures)

    code, stderr = run(command, told)
    return outcome(code, stderr, failures)


def outcome(code: int, stderr: str, failures: Sequence[failure_reports.Failure]) -> Outcome:
    """Return how a program has ended whose ProxyCommands have failed so.

    Raises:
        EicctlError: Why no tunnel was opened; the program has connected nowhere.
    """
    errors = tuple(failure.error for failure in failures)
    lived = max((failure.lived for failure in failures), default=0.0)
    if code and errors and not lived:
        raise errors[0]
    return Outcome(code, stderr, errors, lived)


def strictness(logins: Sequence[Login], say: Callable[[str], None]) -> str:
    """Return OpenSSH's StrictHostKeyChecking: of several hosts the least strict, which is that of the first unknown.

    Args:
        logins: The logins; AWS is asked for the keys of hosts that are not known yet.
        say: Called with what the user should know.
    """
    verdicts = list(dict.fromkeys(login.verdict() for login in logins))
    for verdict in verdicts:
        if verdict.note:
            say(verdict.note)
    strict = [verdict.strict for verdict in verdicts]
    return next((word for word in ("no", "accept-new") if word in strict), "yes")
