"""OpenSSH's programs, run over tunnels of this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from eicctl.errors import DurationReachedError, EicctlError, NetworkError
from eicctl.ssh import carrier
from eicctl.ssh.command import Access, Wiring, proxy_command
from eicctl.ssh.doors import Tunnel, available
from eicctl.ssh.login import Login
from eicctl.ssh.run import run
from eicctl.tunnel import failures

Build = Callable[[Wiring], list[str]]
"""Makes the command line of what the program is told of proxy and host keys."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended.

    Attributes:
        code: Its exit code.
        stderr: The end of what it wrote there; it has been passed on.
        errors: Why tunnels failed or ended, where that was no ordinary end.
        lived: The longest time that a tunnel was open, in seconds.
    """

    code: int
    stderr: str
    errors: tuple[EicctlError, ...] = ()
    lived: float = 0.0


def run_program(
    logins: Sequence[Login],
    build: Build,
    access: Access,
    folder: Path,
    *,
    say: Callable[[str], None],
    on_open: Callable[[Tunnel], None] = lambda _tunnel: None,
) -> Outcome:
    """Run an OpenSSH program that connects to these hosts.

    Args:
        logins: One for each host. They are started here.
        build: Makes the command line.
        access: How a proxy of its own would get at AWS, where this process cannot carry the tunnels.
        folder: A folder of this user alone, for this run alone.
        say: Called with what the user should know.
        on_open: Called in some thread with each tunnel that this process has opened.

    Raises:
        EicctlError: A key could not be pushed or a tunnel not be opened; the program has connected nowhere.
    """
    carried = available()
    hosts: dict[str, list[Login]] = {}
    for login in logins:
        login.start(dial=carried and login.name not in hosts)
        hosts.setdefault(login.name, []).append(login)
    with contextlib.ExitStack() as cleanup:
        for login in logins:
            cleanup.callback(login.discard)
        if not carried:
            target = logins[0].target if len(hosts) == 1 else None
            return _outcome(logins, build(_wiring(logins, proxy_command(target, access), say)), None)
        tunnels = cleanup.enter_context(carrier.Carrier(folder, on_open))
        for name, users in hosts.items():
            tunnels.serve(name, partial(_open, users))
        outcome = _outcome(logins, build(_wiring(logins, tunnels.proxy_command, say)), tunnels)
        if tunnels.in_use():
            tunnels.stay_behind()
        return outcome


def _open(users: Sequence[Login]) -> Tunnel:
    """Open a tunnel to a host as one of its users; which of them connects is not known here."""
    for other in users[1:]:
        other.push()
    return users[0].tunnel()


def _outcome(logins: Sequence[Login], command: list[str], tunnels: carrier.Carrier | None) -> Outcome:
    def ready() -> None:
        for login in logins:
            login.wait()

    started = time.monotonic()
    code, stderr = run(command, ready)
    if not tunnels:
        return Outcome(code, stderr, _told(stderr), time.monotonic() - started)
    if code:
        tunnels.settle()
    errors = [*tunnels.failures, *(ending.error for ending in tunnels.endings if ending.error)]
    return Outcome(code, stderr, tuple(errors), max((ending.duration for ending in tunnels.endings), default=0.0))


def _told(stderr: str) -> tuple[EicctlError, ...]:
    """Why tunnels ended, as far as the proxy, which is another process, has said it."""
    if failures.DURATION_REACHED in stderr:
        return (DurationReachedError(failures.DURATION_REACHED),)
    return (NetworkError(failures.BROKE),) if failures.BROKE in stderr else ()


def _wiring(logins: Sequence[Login], proxy: str, say: Callable[[str], None]) -> Wiring:
    """What OpenSSH is told: of several hosts the least strict verdict, which is that of the first that is unknown."""
    verdicts = [login.verdict() for login in logins]
    for verdict in verdicts:
        if verdict.note:
            say(verdict.note)
    strict = [verdict.strict for verdict in verdicts]
    return Wiring(proxy, next((word for word in ("no", "accept-new") if word in strict), "yes"))
