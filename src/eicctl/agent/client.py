"""Requests of commands to background processes, and the start of one: once, whoever else starts it at the same time."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eicctl import __version__
from eicctl.agent import protocol
from eicctl.agent.paths import AgentPaths, fingerprint, for_process, lock_file, switched
from eicctl.agent.protocol import pid_of, user_of
from eicctl.core.errors import ConflictError, EicctlError, LocalError
from eicctl.core.names import counted

TIMEOUT = 5.0
"""Seconds to wait for an answer that takes no call of AWS."""


class GoneError(Exception):
    """No background process listens, or it ended before it answered."""


class UnresponsiveError(LocalError):
    """A background process runs, but does not respond. `pid` is its process ID, or 0 if unknown."""

    def __init__(self, paths: AgentPaths, pid: int) -> None:
        if _is_stopped(pid):
            super().__init__(f"The background process (PID {pid}) is stopped", hint=f"kill -CONT {pid}")
        else:
            super().__init__(
                f"The background process (PID {pid or 'unknown'}) does not respond; its log: {paths.log}",
                hint="eicctl down --all --force",
            )
        self.pid = pid


def ask(paths: AgentPaths, verb: str, *, timeout: float = TIMEOUT, **fields: Any) -> protocol.Message:
    """Send a request and return the answer.

    Raises:
        GoneError: No process answers.
        UnresponsiveError: It does not answer in time.
        ConflictError: The process is of another version of eicctl and holds tunnels.
        EicctlError: The request failed.
    """
    with _connected(paths) as sock:
        pid = pid_of(sock)
        sock.settimeout(0 if _is_stopped(pid) else timeout)
        request = {"Do": verb, "Version": __version__, "Protocol": protocol.PROTOCOL, **fields}
        try:
            sock.sendall(protocol.encode(request))
            answer = protocol.receive(sock)
        except (TimeoutError, BlockingIOError) as error:
            raise UnresponsiveError(paths, pid) from error
        except (OSError, protocol.WireError) as error:
            raise GoneError(str(error)) from error
    if answer is None:
        raise GoneError
    if answer.get("OtherVersion"):
        raise _other_version(answer)
    if not answer.get("Ok"):
        raise EicctlError(str(answer.get("Error")), hint=answer.get("Hint"), exit_code=int(answer.get("ExitCode") or 1))
    return answer


def answers(paths: AgentPaths) -> bool:
    """Whether a background process listens."""
    with contextlib.suppress(GoneError), _connected(paths):
        return True
    return False


@contextlib.contextmanager
def _connected(paths: AgentPaths) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT)
        try:
            sock.connect(str(paths.socket))
            user = user_of(sock)
        except (BlockingIOError, TimeoutError) as error:  # it has not accepted connections for long
            raise UnresponsiveError(paths, _recorded_pid(paths)) from error
        except OSError as error:
            raise GoneError(str(error)) from error
        if user not in (None, os.getuid()):
            raise LocalError(f"A process of another user listens at {paths.socket}")
        yield sock


def _recorded_pid(paths: AgentPaths) -> int:
    """Return the process ID that an agent has recorded; 0 if that may be another process's by now."""
    pid = paths.read_record().get("Pid")
    with contextlib.suppress(OSError):
        if paths.name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return int(str(pid))
    return 0


def _is_stopped(pid: int) -> bool:
    """Whether a process is stopped, as by SIGSTOP (proc(5)); False if that cannot be known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def _other_version(answer: protocol.Message) -> EicctlError:
    if not answer.get("Tunnels"):
        raise GoneError  # it ends, for a process of this version
    return ConflictError(
        f"The background process (PID {answer.get('Pid')}) is of eicctl {answer.get('Version')}, and this is "
        f"{__version__}",
        hint=f"eicctl down --all; that closes its {counted(answer['Tunnels'], 'tunnel')}",
    )


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
        raise LocalError("Windows has no background process", hint="eicctl up")
    return AgentPaths(fingerprint())


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
    wanted = switched(os.environ)
    if wanted is None:
        from eicctl.support import defaults

        return not os.environ.get("CI") and bool(defaults.of_user().get("agent", True))
    return wanted


def start(paths: AgentPaths, *, wait: bool = True) -> None:
    """Start a background process; if it listens already, nothing is done.

    Args:
        paths: Its files.
        wait: Whether to return only when it listens. Otherwise it goes on by itself, also if this process ends at once.

    Raises:
        LocalError: It does not start.
    """
    deadline = time.monotonic() + START_TIMEOUT
    if not (file := lock_file(paths.start, deadline if wait else 0.0)):
        return
    with file:
        if answers(paths):
            return
        file.truncate(0)
        _spawn(paths, file.fileno(), DELAY if not wait else 0.0)
    if not wait:
        return
    report = b""
    if file := lock_file(paths.start, deadline):  # the new process has the lock until it listens, or ends
        with file:
            report = file.read()
    if report != READY:
        reason = f": {report.decode(errors='replace')}" if report else ""
        raise LocalError(f"The background process did not start{reason}", hint=f"its log: {paths.log}")


def _spawn(paths: AgentPaths, lock: int, delay: float) -> None:
    """Start the process with the lock, without anything else of this one's; it makes a session of its own."""
    import fcntl

    passed = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTOR + 1)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "eicctl.agent", paths.name, str(_DESCRIPTOR), str(delay)],
            for_process(),
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
