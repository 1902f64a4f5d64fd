"""OpenSSH's programs as children that have the terminal; this process waits, to clean up and to explain failures.

Imports are few: all of them happen before OpenSSH's start.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eicctl.core.errors import EicctlError, LocalError
from eicctl.ssh import failure_reports


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


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_KEPT = 2**16
"""Bytes of the end of stderr that are kept."""

_LINES_OF_A_LOST_PROXY = re.compile(
    rb"(?:kex_exchange_identification: .*|Connection (?:closed|reset) by UNKNOWN port \d+|(?:scp: )?Connection closed)"
    rb"\r?\n"
)
"""What OpenSSH says where its ProxyCommand has ended before the login: less than eicctl can tell."""


@functools.cache
def version() -> tuple[int, int] | None:
    """Return the version of ssh, or None where it does not tell."""
    import subprocess

    try:
        done = subprocess.run(["ssh", "-V"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"OpenSSH\D*(\d+)\.(\d+)", done.stderr + done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def run(command: Sequence[str], told: Callable[[], bool] = lambda: False) -> tuple[int, str]:
    """Run OpenSSH; return its exit code and the end of what it wrote to stderr, which has been passed on at once.

    Ctrl-C is for OpenSSH, which has it from the terminal too; SIGTERM and SIGHUP are passed on. A child that ends by a
    signal counts as 128 plus its number. When it is suspended, this process is too, so that the shell comes back.

    Args:
        command: The command line.
        told: Whether the user will be told why OpenSSH has lost its ProxyCommand; called at the end.

    Raises:
        LocalError: There is no such program.
    """
    tail = _Tail()
    try:
        code = (_run_on_windows if sys.platform == "win32" else _run)(command, tail)
    except FileNotFoundError as error:
        raise LocalError(f"{command[0]} is not installed", hint="install the OpenSSH client") from error
    if not told():
        _write(b"".join(tail.held))
    return code, tail.kept.decode(errors="replace")


def _run(command: Sequence[str], tail: _Tail) -> int:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        child = os.posix_spawnp(
            command[0],
            list(command),
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, writing, 2)],
            setsigdef=[signal.SIGPIPE],  # which Python ignores
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    with _Signals(child) as wakeups:
        code = _watched(child, reading, wakeups, tail)
    # A process that OpenSSH has left behind (`ssh -f`) may hold the pipe: its end is not waited for.
    while tail.take(reading):
        pass
    os.close(reading)
    return code


def _watched(child: int, reading: int, wakeups: int, tail: _Tail) -> int:
    """Pass stderr on until the child ends; return its exit code."""
    import select

    poll = select.poll()
    poll.register(wakeups, select.POLLIN)
    poll.register(reading, select.POLLIN)
    while True:
        pid, status = os.waitpid(child, os.WUNTRACED | os.WNOHANG)
        if pid and os.WIFSTOPPED(status):
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(child, signal.SIGCONT)
            continue
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        for descriptor, _ in poll.poll():
            if descriptor == wakeups:
                os.read(wakeups, 4096)
            elif not tail.take(reading):
                poll.unregister(reading)


class _Signals:
    """What signals do while OpenSSH runs. A context manager that gives a descriptor on which each of them is seen."""

    def __init__(self, child: int) -> None:
        self._child = child
        self._before: dict[int, Any] = {}

    def __enter__(self) -> int:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._old_wakeups = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for name in ("SIGINT", "SIGQUIT", "SIGCHLD", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name)
            passed_on = name in ("SIGTERM", "SIGHUP")
            self._before[number] = signal.signal(number, self._pass_on if passed_on else _ignore)
        return self._reading

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeups)
        os.close(self._reading)
        os.close(self._writing)

    def _pass_on(self, number: int, _frame: object) -> None:
        try:
            os.kill(self._child, number)
        except ProcessLookupError:
            return


def _ignore(_number: int, _frame: object) -> None:
    return


def _run_on_windows(command: Sequence[str], tail: _Tail) -> int:
    import subprocess

    with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
        assert child.stderr  # noqa: S101 - it is a pipe
        while True:
            try:
                while tail.take(child.stderr.fileno()):
                    pass
                return child.wait()
            except KeyboardInterrupt:  # OpenSSH has it, too
                continue


class _Tail:
    """What a child writes to stderr: passed on byte for byte, but for what may have to be explained.

    Attributes:
        kept: Its end.
        held: The lines that were not passed on.
    """

    def __init__(self) -> None:
        self.kept = b""
        self.held: list[bytes] = []

    def take(self, descriptor: int) -> bool:
        """Take what is there; return whether there was anything."""
        try:
            data = os.read(descriptor, 2**16)
        except BlockingIOError:
            return False
        self.kept = (self.kept + data)[-_KEPT:]
        passed_on: list[bytes] = []
        for line in data.splitlines(keepends=True):
            (self.held if _LINES_OF_A_LOST_PROXY.fullmatch(line) else passed_on).append(line)
        _write(b"".join(passed_on))
        return bool(data)


def _write(data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(2, view) :]
    except OSError:  # nobody reads it any more
        return
