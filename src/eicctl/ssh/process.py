"""OpenSSH's programs as children that have the terminal; this process waits, to clean up and to explain failures.

Their ProxyCommands report why a connection failed in a file of the session's folder. Imports are few: all of them
happen before OpenSSH's start.
"""

from __future__ import annotations

import os
import sys

from eicctl.core.errors import LocalError, from_json, to_json
from eicctl.support.activity import Hidden, export_width
from eicctl.support.bare import json_text, parse_json, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any, NoReturn

    from eicctl.core.errors import EicctlError

FAILURES = "failures"
"""The file in a session's folder in which ProxyCommands report why a connection failed."""

_PREFIX = "ssh-"
"""How the name of a session's folder begins; the process ID of the command comes next."""


def proxy_words() -> list[str]:
    """Return `eicctl proxy` for OpenSSH that this process runs, in words; none where the package is not in files.

    Python starts without its site-packages (`-S`): looking through them takes longer than all that a warm proxy does.
    """
    main = f"{os.path.dirname(os.path.dirname(__file__))}/__main__.py"  # noqa: PTH120
    return [sys.executable, "-PS", main, "proxy"] if os.name == "posix" and os.path.isfile(main) else []  # noqa: PTH113


class SessionFolder:
    """A folder (0700) for the files of one command, removed at the end, also at that by SIGTERM, SIGHUP or Ctrl-\\.

    A context manager, whose value is its path.

    Args:
        base: The runtime folder.
    """

    def __init__(self, base: str) -> None:
        self._path = f"{base}/{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        self._before: dict[int, Any] = {}

    def __enter__(self) -> str:
        os.mkdir(self._path, 0o700)  # noqa: PTH102
        for name in ("SIGTERM", "SIGHUP", "SIGQUIT"):
            try:
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, _leave)
            except (AttributeError, ValueError):  # on Windows; in another thread than the main one
                continue
        return self._path

    def __exit__(self, *_: object) -> None:
        _remove(self._path)
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> NoReturn:
    """End the process by an exception, so that what must be removed is."""
    raise SystemExit(128 + number)


def sweep(base: str) -> None:
    """Remove the folders of sessions whose commands have been killed. On Windows the system empties their folder."""
    for name in os.listdir(base) if os.name == "posix" else ():  # noqa: PTH208
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and pid.isdigit():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                _remove(f"{base}/{name}")
            except (PermissionError, OverflowError):  # another user's
                continue


def _remove(folder: str) -> None:
    """Remove a session's folder with its files; what cannot be removed stays."""
    try:
        for name in os.listdir(folder):  # noqa: PTH208
            os.unlink(f"{folder}/{name}")  # noqa: PTH108
        os.rmdir(folder)  # noqa: PTH106
    except OSError:
        return


class Failure:
    """One failed connection.

    Attributes:
        host: The host as OpenSSH was given it.
        error: Why it failed.
        lived: How long its tunnel was open, in seconds; 0 if it never was.
    """

    def __init__(self, host: str, error: EicctlError, lived: float) -> None:
        self.host = host
        self.error = error
        self.lived = lived


def add_failure(folder: str, failure: Failure) -> None:
    """Report a failure.

    Args:
        folder: The session's folder.
        failure: The failure.

    Raises:
        OSError: The folder is gone with the command.
    """
    line = json_text({"Host": failure.host, "Lived": failure.lived, **to_json(failure.error)}) + "\n"
    descriptor = os.open(os.path.join(folder, FAILURES), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)  # noqa: PTH118
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def take_failures(folder: Path, host: str | None = None) -> list[Failure]:
    """Return the reports for a host, or for all; without a host, they are removed."""
    try:
        lines = (folder / FAILURES).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    if host is None:
        (folder / FAILURES).unlink(missing_ok=True)
    found = [parse_json(line) for line in lines if host is None or host in line]
    return [
        Failure(row["Host"], from_json(row), float(row["Lived"]))
        for row in found
        if host is None or row["Host"] == host
    ]


class Outcome:
    """How a program ended.

    Attributes:
        code: Its exit code.
        stderr: The end of what it wrote there; it has been passed on.
        errors: Why tunnels failed, or ended early.
        lived: The longest time that one of them was open, in seconds.
    """

    def __init__(self, code: int, stderr: str, errors: tuple[EicctlError, ...] = (), lived: float = 0.0) -> None:
        self.code = code
        self.stderr = stderr
        self.errors = errors
        self.lived = lived


def run_program(command: Sequence[str], folder: Path) -> Outcome:
    """Run an OpenSSH program whose ProxyCommands report to a folder.

    Raises:
        EicctlError: Why no tunnel was opened; the program has connected nowhere.
    """
    failures: list[Failure] = []

    def will_explain() -> bool:
        failures.extend(take_failures(folder))
        return bool(failures)

    return outcome(*run(command, will_explain), failures)


def outcome(code: int, stderr: str, failures: Sequence[Failure]) -> Outcome:
    """Return how a program has ended whose ProxyCommands have failed so.

    Raises:
        EicctlError: Why no tunnel was opened; the program has connected nowhere.
    """
    errors = tuple(failure.error for failure in failures)
    lived = max((failure.lived for failure in failures), default=0.0)
    if code and errors and not lived:
        raise errors[0]
    return Outcome(code, stderr, errors, lived)


_KEPT = 2**16
"""Bytes of stderr's end to keep."""

_LINES_OF_A_LOST_PROXY = (
    rb"(?:kex_exchange_identification: .*|Connection (?:closed|reset) by UNKNOWN port \d+|(?:scp: )?Connection closed|"
    rb"client_loop: send disconnect: .*|Connection to \S+ closed(?: by remote host)?\.)\r?\n"
)
"""OpenSSH's messages when its ProxyCommand ended; eicctl's error says more."""


def run(
    command: Sequence[str],
    will_explain: Callable[[], bool] = lambda: False,
    started: Callable[[], object] = lambda: None,
) -> tuple[int, str]:
    """Run OpenSSH; return its exit code and the end of what it wrote to stderr, which has been passed on at once.

    OpenSSH gets Ctrl-C from the terminal; SIGTERM and SIGHUP are passed on to it. The exit code of a child that ends by
    a signal is 128 plus its number. When it is suspended, this process is too, so that the shell comes back.

    Args:
        command: The command line.
        will_explain: Returns whether the caller will explain why OpenSSH lost its ProxyCommand; called at the end.
        started: Called once OpenSSH has started, for what it need not wait for.

    Raises:
        LocalError: The program is not installed.
    """
    tail = _Tail()
    export_width()
    try:
        with Hidden():
            code = (_run_on_windows if sys.platform == "win32" else _run)(command, tail, started)
    except FileNotFoundError as error:
        raise LocalError(f"{command[0]} is not installed", hint="install the OpenSSH client") from error
    if not will_explain() and not tail.interrupted:
        _write(b"".join(tail.held))
    return code, tail.kept.decode(errors="replace")


def _run(command: Sequence[str], tail: _Tail, started: Callable[[], object]) -> int:
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
        started()
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
                tail.interrupted |= signal.SIGINT in os.read(wakeups, 4096)
            elif not tail.take(reading):
                poll.unregister(reading)


class _Signals:
    """Signal handlers while OpenSSH runs. The context manager's value is a descriptor that becomes readable by each."""

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
            handler = self._pass_on if name in ("SIGTERM", "SIGHUP") else lambda *_: None
            self._before[number] = signal.signal(number, handler)
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


def _run_on_windows(command: Sequence[str], tail: _Tail, started: Callable[[], object]) -> int:
    import subprocess

    with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
        assert child.stderr  # noqa: S101 - it is a pipe
        started()
        while True:
            try:
                while tail.take(child.stderr.fileno()):
                    pass
                return child.wait()
            except KeyboardInterrupt:  # OpenSSH has it, too
                continue


class _Tail:
    """A child's stderr, passed on byte for byte except for the lines that eicctl may replace by an explanation.

    Attributes:
        kept: Its end.
        held: The lines that were not passed on.
        interrupted: Whether the user has pressed Ctrl-C, which explains them.
    """

    def __init__(self) -> None:
        self.kept = b""
        self.held: list[bytes] = []
        self.interrupted = False

    def take(self, descriptor: int) -> bool:
        """Take what is there; return whether there was anything."""
        try:
            data = os.read(descriptor, 2**16)
        except BlockingIOError:
            return False
        if not data:
            return False
        import re  # OpenSSH says nothing where all is well

        self.kept = (self.kept + data)[-_KEPT:]
        passed_on: list[bytes] = []
        for line in data.splitlines(keepends=True):
            (self.held if re.fullmatch(_LINES_OF_A_LOST_PROXY, line) else passed_on).append(line)
        _write(b"".join(passed_on))
        return True


def _write(data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(2, view) :]
    except OSError:  # nobody reads it any more
        return
