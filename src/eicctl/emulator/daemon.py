"""The running emulator of this user: its record on disk, starting it in the background, stopping it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from eicctl.core.errors import ConflictError, LocalError
from eicctl.support import paths
from eicctl.support.documents import parse_json
from eicctl.support.files import write_whole

_FILES = "files-"
_LOCK = "lock"
_UP = "up.lock"
_LOOKS_TAKE = 1.0
"""Seconds for which a process that only checks may hold the lock."""

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

    def call(self, method: str, resource: str, content: Any = None) -> Any:
        """Call the control API (docs/reference/local-aws.md) and return its answer.

        Raises:
            OSError: It does not answer, or refuses.
        """
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(  # noqa: S310 - always http on loopback
            f"{self.url}/_eicctl/{resource}",
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {self.token}"},
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


def log_path() -> Path:
    """The log file of an emulator in the background."""
    return folder() / "log.txt"


def record_path() -> Path:
    """The file that describes the running emulator."""
    return folder() / "running.json"


def running() -> Running | None:
    """Return the emulator that runs, or None; whether it answers is another question.

    The record of one that was killed is removed. One that is stopped, or in another network namespace, does not answer,
    and has its state still.
    """
    try:
        content = parse_json(record_path().read_text())
        found = Running(**{one.name: content[one.name] for one in fields(Running) if one.name in content})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        found = None
    if found and _is_alive(found):
        return found
    record_path().unlink(missing_ok=True)
    return None


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Be the only emulator of this user while the block runs.

    Raises:
        ConflictError: One is already running.
    """
    with (folder() / _UP).open("wb") as lock:
        deadline = time.monotonic() + _LOOKS_TAKE
        while True:
            try:
                _lock(lock, wait=False)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ConflictError("The local AWS is already running", hint="eicctl local down") from error
                time.sleep(0.05)
        yield


def write_record(record: Running) -> None:
    """Write the record, for this user only."""
    write_whole(record_path(), json.dumps(asdict(record)))


def is_recorded(pid: int) -> bool:
    """Whether the record is this process's."""
    try:
        return bool(parse_json(record_path().read_text())["pid"] == pid)
    except (OSError, ValueError, LookupError, LocalError):
        return False


def remove_record(pid: int) -> None:
    """Remove the record if it is this process's."""
    if is_recorded(pid):
        record_path().unlink(missing_ok=True)


@contextlib.contextmanager
def files_folder() -> Iterator[Path]:
    """A new folder for an emulator's files while the block runs; removes those of killed emulators.

    A lock marks those in use: it ends with its process, however that ends.
    """
    for old in folder().glob(f"{_FILES}*/{_LOCK}"):
        with contextlib.suppress(OSError), old.open("wb") as lock:
            _lock(lock, wait=False)
            shutil.rmtree(old.parent, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=_FILES, dir=folder()))
    with (path / _LOCK).open("wb") as lock:
        _lock(lock, wait=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _lock(file: IO[bytes], *, wait: bool) -> None:
    """Take a file's lock; OSError where it is taken and is not waited for."""
    import fcntl  # not on Windows, where the commands that only ask for the local AWS should still answer

    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def start(arguments: list[str]) -> Running:
    """Start `eicctl local up` in the background and return when it answers.

    Raises:
        LocalError: It has ended instead, or does not answer in time.
    """
    log = log_path()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "eicctl", "local", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if record_path().exists() and (found := running()) and found.pid == process.pid and _answers(found):
            return found
        if process.poll() is not None:
            printed = _last_printed(log)
            why = printed.get("error", f"exit code {process.returncode}")
            raise LocalError(f"The local AWS did not start: {why}", hint=printed.get("hint", f"see the log: {log}"))
        time.sleep(0.05)
    process.terminate()
    raise LocalError(f"The local AWS did not answer within {START_TIMEOUT:.0f} s", hint=f"see the log: {log}")


def _last_printed(log: Path) -> dict[str, str]:
    """Return the error and the hint that a command printed last."""
    lines = log.read_text(errors="replace").splitlines()
    return {kind: text for kind, colon, text in (line.partition(": ") for line in lines) if colon}


def stop(found: Running) -> None:
    """End the running emulator.

    Raises:
        LocalError: It does not end.
    """
    if _is_process(found):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGTERM)
            os.kill(found.pid, signal.SIGCONT)  # one that is stopped takes no signal before
    else:  # in another PID namespace: it ends when it finds its record gone
        record_path().unlink(missing_ok=True)
    deadline = time.monotonic() + STOP_TIMEOUT
    while _is_alive(found):
        if time.monotonic() > deadline:
            raise LocalError(f"The local AWS (PID {found.pid}) does not stop", hint=f"kill -9 {found.pid}")
        time.sleep(0.05)
    record_path().unlink(missing_ok=True)


def is_stopped(found: Running) -> bool:
    """Whether its process is suspended, as by Ctrl-Z, if the system reports it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{found.pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    return False


def _is_alive(found: Running) -> bool:
    """Whether the process that wrote the record is alive: it holds a lock, which ends with it."""
    try:
        import fcntl
    except ImportError:  # Windows, where none can have been started
        return _answers(found)
    try:
        with (folder() / _UP).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _is_process(found: Running) -> bool:
    """Whether the process of the record's ID is the emulator: it has the lock file open, if the system reports it."""
    descriptors = Path(f"/proc/{found.pid}/fd")
    if not Path("/proc/self/fd").exists():
        return True
    with contextlib.suppress(OSError):
        for descriptor in descriptors.iterdir():
            with contextlib.suppress(OSError):
                if descriptor.samefile(folder() / _UP):
                    return True
    return False


def _answers(found: Running) -> bool:
    """Whether it answers: only the process that wrote the record knows its token."""
    try:
        found.call("GET", "connections")
    except (OSError, ValueError):
        return False
    return True
