"""Starting the background process, once, whoever else starts it at the same time; it outlives the starter."""

from __future__ import annotations

import os
import signal
import sys
import time

from eicctl.agent import environment
from eicctl.agent.paths import AgentPaths, lock, open_lockfile
from eicctl.core.errors import EicctlError, LocalError

READY = b"ready"

IDLE = 600.0
"""Seconds without tunnels and requests after which a background process ends; `EICCTL_AGENT_IDLE` sets another time."""

DELAY = 0.2
"""Seconds that it waits where no command waits for it: the first bytes of that command's connection go first."""

START_TIMEOUT = 20.0

_DESCRIPTOR = 3
"""The new process's number of the lock file. The lock is on the open file, so it ends with whoever has that last."""


def here() -> AgentPaths:
    """Return the paths of the background process for this environment.

    Raises:
        LocalError: This platform has none.
    """
    if sys.platform == "win32":
        raise LocalError("there is no background process on Windows", hint="eicctl up; in a window of its own")
    return AgentPaths(environment.fingerprint())


def start_soon() -> None:
    """Start the background process for the next command, if none listens; a failure is in its log only.

    It is not started where the user does not want it (`agent = false` in config.toml, `EICCTL_AGENT=off`), nor in
    CI (the variable `CI`), where nobody connects again, unless `EICCTL_AGENT=on` asks for it.
    """
    if sys.platform == "win32":
        return
    try:
        if _wanted():
            start(here(), wait=False)
    except (EicctlError, OSError):
        return


def _wanted() -> bool:
    switched = environment.switched(os.environ)
    if switched is None:
        from eicctl.support import settings

        return not os.environ.get("CI") and settings.config().agent
    return switched


def start(paths: AgentPaths, *, wait: bool = True) -> None:
    """Start a background process; if it listens already, nothing is done.

    Args:
        paths: Its files.
        wait: Whether to return only when it listens. Otherwise it goes on by itself, also if this process ends at once.

    Raises:
        LocalError: It does not start.
    """
    from eicctl.agent.client import answers

    deadline = time.monotonic() + START_TIMEOUT
    lockfile = paths.lock.with_suffix(".start")
    descriptor = open_lockfile(lockfile)
    try:
        if not lock(descriptor, deadline if wait else 0.0) or answers(paths):
            return
        os.ftruncate(descriptor, 0)
        _spawn(paths, descriptor, DELAY if not wait else 0.0)
    finally:
        os.close(descriptor)
    if not wait:
        return
    descriptor = open_lockfile(lockfile)
    try:
        # The new process has the lock until it listens, or ends.
        report = os.read(descriptor, 4096) if lock(descriptor, deadline) else b""
    finally:
        os.close(descriptor)
    if report != READY:
        reason = f": {report.decode(errors='replace')}" if report else ""
        raise LocalError(f"the background process did not start{reason}", hint=f"its log: {paths.log}")


def _spawn(paths: AgentPaths, lock: int, delay: float) -> None:
    """Start the process with the lock, without anything else of this one's; it makes a session of its own."""
    import fcntl

    passed = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTOR + 1)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "eicctl.agent", paths.name, str(_DESCRIPTOR), str(delay)],
            environment.for_process(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(paths.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, passed, _DESCRIPTOR),
            ],
            setsigmask=[signal.SIGHUP, signal.SIGINT],  # until it has that session
            setsigdef=[signal.SIGPIPE],
        )
    finally:
        os.close(passed)
