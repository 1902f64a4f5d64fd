"""Starting the background process, once, whoever else starts it at the same time; it outlives the starter."""

from __future__ import annotations

import os
import signal
import sys
import time

from eicctl.agent import environment as surroundings
from eicctl.agent.environment import switched
from eicctl.agent.paths import Place
from eicctl.core.errors import EicctlError, LocalError

READY = b"ready"

IDLE = 600.0
"""Seconds without tunnels and requests after which a background process ends; `EICCTL_AGENT_IDLE` sets another time."""

DELAY = 0.2
"""Seconds that it waits where no command waits for it: the first bytes of that command's connection go first."""

START_TIMEOUT = 20.0

_DESCRIPTOR = 3
"""The new process's number of the lock file. The lock is on the open file, so it ends with whoever has that last."""


def here() -> Place:
    """Return the place of the background process for this environment.

    Raises:
        LocalError: This platform has none.
    """
    if sys.platform == "win32":
        raise LocalError("there is no background process on Windows", hint="eicctl up; in a window of its own")
    return Place(surroundings.fingerprint())


def start_soon() -> None:
    """Start the background process for the next command, if none listens; what goes wrong is told by its log.

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
    asked = switched(os.environ)
    if asked is None:
        from eicctl.support import settings

        return not os.environ.get("CI") and settings.config().agent
    return asked


def start(place: Place, *, wait: bool = True) -> None:
    """Start the process of a place; if one listens already, nothing is done.

    Args:
        place: Its files.
        wait: Whether to return only when it listens. Otherwise it goes on by itself, also if this process ends at once.

    Raises:
        LocalError: It does not start.
    """
    from eicctl.agent.client import answers

    deadline = time.monotonic() + START_TIMEOUT
    lock = _opened(place)
    try:
        if not _locked(lock, deadline if wait else 0.0) or answers(place):
            return
        os.ftruncate(lock, 0)
        _spawn(place, lock, DELAY if not wait else 0.0)
    finally:
        os.close(lock)
    if not wait:
        return
    lock = _opened(place)
    try:
        # The new process has the lock until it listens, or ends.
        told = os.read(lock, 4096) if _locked(lock, deadline) else b""
    finally:
        os.close(lock)
    if told != READY:
        why = f": {told.decode(errors='replace')}" if told else ""
        raise LocalError(f"the background process did not start{why}", hint=f"its log: {place.log}")


def _opened(place: Place) -> int:
    path = place.lock.with_suffix(".start")
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LocalError(f"cannot open {path}: {error.strerror}") from error


def _locked(descriptor: int, deadline: float) -> bool:
    """Lock a file, waiting for others that hold the lock until the deadline; return whether that was done."""
    import fcntl

    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _spawn(place: Place, lock: int, delay: float) -> None:
    """Start the process with the lock, without anything else of this one's; it makes a session of its own."""
    import fcntl

    passed = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTOR + 1)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "eicctl.agent", place.name, str(_DESCRIPTOR), str(delay)],
            surroundings.for_process(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_OPEN, 2, str(place.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, passed, _DESCRIPTOR),
            ],
            setsigmask=[signal.SIGHUP, signal.SIGINT],  # until it has that session
            setsigdef=[signal.SIGPIPE],
        )
    finally:
        os.close(passed)
