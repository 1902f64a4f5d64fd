"""OpenSSH as a child that has the terminal; this process stays behind it to clean up and to explain."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from eicctl.errors import LocalError

_KEPT = 16


def run(command: Sequence[str], ready: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Run OpenSSH; return its exit code and the end of what it wrote to stderr, which has been passed on at once.

    `ready` is called while OpenSSH starts; what it raises ends OpenSSH, whose words are then not passed on.

    Ctrl-C is for OpenSSH, which has it from the terminal too; SIGTERM and SIGHUP are passed on. A child that ends by a
    signal counts as 128 plus its number. When it is suspended, this process is too, so that the shell comes back.

    Raises:
        LocalError: There is no such program.
    """
    try:
        child = subprocess.Popen(command, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise LocalError(f"there is no {command[0]}", hint="install OpenSSH's client") from error
    assert child.stderr  # noqa: S101 - it is a pipe
    try:
        ready()
    except BaseException:
        child.kill()
        child.wait()
        raise
    tail = _Tail(child.stderr)
    with _signals_to(child):
        code = _wait(child)
    return code, tail.text()


def _wait(child: subprocess.Popen[bytes]) -> int:
    if sys.platform == "win32":
        return child.wait()
    while True:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.kill(os.getpid(), signal.SIGSTOP)
            child.send_signal(signal.SIGCONT)
            continue
        code = os.waitstatus_to_exitcode(status)
        child.returncode = code
        return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _signals_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _frame: object) -> None:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    def leave(_number: int, _frame: object) -> None:
        return

    handlers = {"SIGINT": leave, "SIGQUIT": leave, "SIGTERM": pass_on, "SIGHUP": pass_on}
    before: dict[int, Any] = {}
    for name, handler in handlers.items():
        if number := getattr(signal, name, None):
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


class _Tail:
    """Passes a pipe on to stderr, byte for byte, and keeps its end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What was kept. A process that OpenSSH has left behind (ControlPersist) may hold the pipe, so no long wait."""
        self._thread.join(0.5)
        return b"".join(self._kept).decode(errors="replace")

    def _pass_on(self) -> None:
        while data := os.read(self._pipe.fileno(), 4096):
            self._kept.append(data)
            view = memoryview(data)
            with contextlib.suppress(OSError):
                while view:
                    view = view[os.write(2, view) :]
        self._pipe.close()
