"""One command on many instances: an OpenSSH process for each, all tunnels in this process."""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from eicctl.errors import EicctlError, LocalError
from eicctl.ssh import carrier
from eicctl.ssh.command import Access, Wiring, proxy_command, settled, ssh_command
from eicctl.ssh.doors import available
from eicctl.ssh.login import Login
from eicctl.tunnel.dial import Link
from eicctl.tunnel.ending import Ending

SLOTS = 20
"""Connections that an endpoint carries at once (eice-facts.md, Limits)."""

TIMED_OUT = 124
"""Exit code for a command that took too long, as timeout(1) gives it."""

_IN_MEMORY = 2**20


class Sink(Protocol):
    """Takes a host's output as it comes. Called from several threads."""

    def take(self, label: str, stream: str, data: bytes) -> None:
        """Take bytes of `stdout` or `stderr`."""

    def finished(self, result: Result) -> None:
        """Take a host's result."""


def _kept() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)


@dataclass
class Result:
    """What became of one host.

    Attributes:
        label: Its name.
        instance_id: Its ID.
        code: The command's exit code, 255 where the connection failed, 124 where it took too long; None where it was
            not run.
        error: Why there was no connection or no end, or an empty string.
        cause: The error behind `error`, where it is one of ours.
        seconds: How long it took.
        stdout: What the command wrote there; a file, which the receiver closes.
        stderr: Likewise.
    """

    label: str
    instance_id: str
    code: int | None = None
    error: str = ""
    cause: EicctlError | None = None
    seconds: float = 0.0
    stdout: IO[bytes] = field(default_factory=_kept)
    stderr: IO[bytes] = field(default_factory=_kept)

    @property
    def failed(self) -> bool:
        """Whether the command did not run, or did not end with 0."""
        return self.code != 0


class Fleet:
    """Runs a command on hosts.

    Args:
        logins: The hosts, in the order in which they begin.
        command: The remote command's words.
        access: How a proxy of its own would get at AWS, where this process cannot carry tunnels.
        folder: A folder of this user alone.
        key_file: The private key for hosts to which none is pushed, or None.
        timeout: Seconds for one host, from its first call of AWS to its end; None for no limit.
    """

    def __init__(
        self,
        logins: Sequence[Login],
        command: Sequence[str],
        access: Access,
        folder: Path,
        *,
        key_file: Path | None,
        timeout: float | None,
    ) -> None:
        self._logins = logins
        self._command = command
        self._access = access
        self._folder = folder
        self._key_file = key_file
        self._timeout = timeout
        self._slots: dict[str, threading.Semaphore] = defaultdict(lambda: threading.BoundedSemaphore(SLOTS))
        self._stopped = threading.Event()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._tunnels: carrier.Carrier | None = None

    def run(self, sink: Sink, parallel: int) -> list[Result]:
        """Run the command on all hosts, `parallel` at a time; return the results in the hosts' order.

        An interrupt ends the commands that run; the others have the code None.
        """
        for login in self._logins:  # made here, because a defaultdict is not for several threads
            self._slots[login.target.endpoint_id]
        with contextlib.ExitStack() as cleanup:
            if available():
                self._tunnels = cleanup.enter_context(carrier.Carrier(self._folder))
            pool = cleanup.enter_context(ThreadPoolExecutor(parallel))
            begun = {pool.submit(self._run_one, login, sink): login for login in self._logins}
            try:
                for future in as_completed(begun):
                    sink.finished(future.result())
            except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or SIGTERM
                self.stop()
            return [future.result() for future in begun]

    def stop(self) -> None:
        """End the commands that run, and begin no others."""
        self._stopped.set()
        for child in list(self._children):
            with contextlib.suppress(OSError):
                child.terminate()

    def _run_one(self, login: Login, sink: Sink) -> Result:
        result = Result(login.target.label, login.target.instance_id)
        with self._slots[login.target.endpoint_id]:
            if self._stopped.is_set():
                result.error = "interrupted"
                return result
            started = time.monotonic()
            deadline = started + self._timeout if self._timeout else None
            try:
                self._connect(login, result, sink, deadline)
            except EicctlError as error:
                result.code, result.error, result.cause = 255, error.message, error
            result.seconds = time.monotonic() - started
        return result

    def _connect(self, login: Login, result: Result, sink: Sink, deadline: float | None) -> None:
        login.start(dial=self._tunnels is not None)
        failed: list[EicctlError] = []

        def open_link() -> Link:
            try:
                return login.open()
            except EicctlError as error:
                failed.append(error)
                raise

        def ended(ending: Ending) -> None:
            if ending.error:
                failed.append(ending.error)

        try:
            if self._tunnels:
                proxy = self._tunnels.serve(login.name, open_link, ended)
            else:
                proxy = proxy_command(login.target, self._access)
                login.wait()
            wiring = Wiring(proxy, login.verdict().strict)
            key = login.key.file if login.key else self._key_file
            options = ["-T", "-n", "-o", "BatchMode=yes", *settled(wiring, alias=login.name, key=key)]
            line = ssh_command(login.target, login.user.name, options, self._command)
            result.code = self._watch(line, result, sink, deadline)
        finally:
            login.discard()
        if result.code == 255 and not result.error:
            result.cause = failed[0] if failed else None
            result.error = failed[0].message if failed else _last_line(result.stderr)

    def _watch(self, line: Sequence[str], result: Result, sink: Sink, deadline: float | None) -> int:
        """Run one OpenSSH and pass its output on; return its exit code."""
        try:
            child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError as error:
            raise LocalError("there is no ssh", hint="install OpenSSH's client") from error
        self._children.add(child)
        if self._stopped.is_set():
            child.terminate()
        try:
            with child, selectors.DefaultSelector() as selector:
                for name, pipe in (("stdout", child.stdout), ("stderr", child.stderr)):
                    assert pipe  # noqa: S101 - they are pipes
                    selector.register(pipe, selectors.EVENT_READ, name)
                in_time = _pump(selector, deadline, lambda name, data: self._took(result, sink, name, data))
                if not in_time:
                    child.terminate()
        finally:
            self._children.discard(child)
        if not in_time:
            result.error = f"not done after {self._timeout:g} s"
            return TIMED_OUT
        if self._stopped.is_set() and child.returncode != 0:
            result.error = "interrupted"
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    @staticmethod
    def _took(result: Result, sink: Sink, name: str, data: bytes) -> None:
        (result.stdout if name == "stdout" else result.stderr).write(data)
        sink.take(result.label, name, data)


def _pump(selector: selectors.BaseSelector, deadline: float | None, took: Callable[[str, bytes], None]) -> bool:
    """Read pipes until all have ended; return False at the deadline."""
    while selector.get_map():
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        for key, _ in selector.select(left):
            data = key.fileobj.read1(65536)  # type: ignore[union-attr]
            if data:
                took(key.data, data)
            else:
                selector.unregister(key.fileobj)
    return True


def _last_line(stderr: IO[bytes]) -> str:
    """The last line that OpenSSH has written, which is why it ended."""
    stderr.seek(0, 2)
    stderr.seek(max(0, stderr.tell() - 2000))
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the connection failed"
