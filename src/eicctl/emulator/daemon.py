"""The running emulator of this user: its record on disk, starting it in the background, stopping it.

An emulator holds an exclusive lock as long as it runs, so that a record alone is never trusted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from http.client import HTTPException
from pathlib import Path
from typing import Any

from eicctl.core.errors import ConflictError, LocalError
from eicctl.support import jsonstore, paths
from eicctl.support.bare import parse_json
from eicctl.support.clock import Backoff
from eicctl.support.files import flock, write_whole

_FILES = "files-"
_LOCK = "lock"
_UP = "up.lock"
_CHECKS_TAKE = 1.0
"""Seconds for which processes that check whether an emulator runs may hold the lock."""

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that runs.

    Attributes:
        pid: Its process.
        url: The control plane.
        data_port: Port of the data plane.
        token: Bearer token of the control API.
        env: Environment for AWS clients; an empty value stands for an unset variable.
        aws_cli_env: What the AWS CLI needs besides that for its tunnels.
    """

    pid: int
    url: str
    data_port: int
    token: str = field(repr=False)
    env: dict[str, str] = field(repr=False)
    aws_cli_env: dict[str, str] = field(repr=False, default_factory=dict)

    def get(self, resource: str) -> Any:
        """Return what the control API (docs/reference/local-aws.md) answers to a GET.

        Raises:
            OSError: It does not answer, or refuses.
        """
        request = urllib.request.Request(  # noqa: S310 - always http on loopback
            f"{self.url}/_eicctl/{resource}", headers={"Authorization": f"Bearer {self.token}"}
        )
        # Never through a proxy: it is this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return parse_json(answer.read())
        except HTTPException as error:  # it ended while it answered
            raise ConnectionError(f"the local AWS closed the connection: {error}") from error


def folder() -> Path:
    """The folder of the emulator's record and log."""
    path = paths.state_dir() / "local"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def record_path() -> Path:
    """The file that describes the running emulator."""
    return folder() / "running.json"


def running() -> Running | None:
    """Return the emulator that runs, or None. Whether it answers is another question.

    The record of one that was killed is removed. One that is stopped, or in another network namespace, does not answer,
    and still has its state.
    """
    content: Mapping[str, Any] = jsonstore.read(record_path())
    found = None
    with contextlib.suppress(TypeError):
        found = Running(**{one.name: content[one.name] for one in fields(Running) if one.name in content})
    with _locked(folder() / _UP, shared=True) as none_runs:
        if none_runs:  # nor can one start now, whose record this would be
            record_path().unlink(missing_ok=True)
        return None if none_runs else found


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Be the only emulator of this user while the block runs.

    Raises:
        ConflictError: One is already running.
    """
    with _locked(folder() / _UP, wait=_CHECKS_TAKE) as alone:
        if not alone:
            raise ConflictError("The local AWS is already running", hint="eicctl local down")
        yield


@contextlib.contextmanager
def recorded(record: Running) -> Iterator[Callable[[], bool]]:
    """Write the record, for this user only, while the block runs; gives a function that returns whether it exists.

    The path stays the same, although the SSH server sets HOME if the user has no home.
    """
    path = record_path()
    write_whole(path, json.dumps(asdict(record)))

    def exists() -> bool:
        return path.exists() and jsonstore.read(path).get("pid", record.pid) == record.pid

    try:
        yield exists
    finally:
        with contextlib.suppress(OSError):
            if exists():
                path.unlink()


@contextlib.contextmanager
def files_folder() -> Iterator[Path]:
    """A new folder for an emulator's files while the block runs. Removes those of killed emulators.

    A lock marks those in use: it ends with its process, however that ends.
    """
    for old in folder().glob(f"{_FILES}*/{_LOCK}"):
        with contextlib.suppress(OSError), _locked(old) as unused:
            if unused:
                shutil.rmtree(old.parent, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=_FILES, dir=folder()))
    with _locked(path / _LOCK):
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path, *, shared: bool = False, wait: float = 0.0) -> Iterator[bool]:
    """Lock a file while the block runs; gives whether it could be locked within `wait` seconds."""
    if os.name != "posix":  # no emulator can have been started
        yield True
        return
    with path.open("ab") as file:
        yield flock(file.fileno(), shared=shared, timeout=wait)


def _looks(seconds: float) -> Iterator[bool]:
    """Yield every 50 ms for some seconds; True at the last time."""
    return Backoff(0.05, 0.05, jitter=0).attempts(seconds)


def start(arguments: list[str]) -> Running:
    """Start `eicctl local up` in the background and return when it answers.

    Raises:
        LocalError: It has ended instead, or does not answer in time.
    """
    log = folder() / "log.txt"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "eicctl", "local", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    hint = f"see the log: {log}"
    for _ in _looks(START_TIMEOUT):
        if record_path().exists() and (found := running()) and found.pid == process.pid and _answers(found):
            return found
        if process.poll() is not None:
            lines = log.read_text(errors="replace").splitlines()
            printed = {kind: text for kind, colon, text in (line.partition(": ") for line in lines) if colon}
            reason = printed.get("error", f"exit code {process.returncode}")
            raise LocalError(f"The local AWS did not start: {reason}", hint=printed.get("hint", hint))
    process.terminate()
    raise LocalError(f"The local AWS did not answer within {START_TIMEOUT:.0f} s", hint=hint)


def _answers(found: Running) -> bool:
    """Whether it answers: only the process that wrote the record knows its token."""
    with contextlib.suppress(OSError, ValueError):
        found.get("connections")
        return True
    return False


def stop(found: Running) -> None:
    """End the running emulator.

    Raises:
        LocalError: It does not end.
    """
    if _is_emulator(found.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGTERM)
            os.kill(found.pid, signal.SIGCONT)  # a stopped process takes no signal before
    else:  # in another PID namespace: it ends when its record is gone
        record_path().unlink(missing_ok=True)
    for last in _looks(STOP_TIMEOUT):
        with _locked(folder() / _UP, shared=True) as ended:
            if ended:
                record_path().unlink(missing_ok=True)
                return
        if last:
            raise LocalError(f"The local AWS (PID {found.pid}) does not stop", hint=f"kill -9 {found.pid}")


def is_stopped(found: Running) -> bool:
    """Whether its process is suspended, as by Ctrl-Z, if the system reports it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{found.pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    return False


def _is_emulator(pid: int) -> bool:
    """Whether a process is the emulator: it has the lock file open, if the system reports it."""
    if not Path("/proc/self/fd").exists():
        return True
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if descriptor.samefile(folder() / _UP):
                    return True
    return False
