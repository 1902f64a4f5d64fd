"""Which background process serves a command, by its environment, and where it listens and keeps its files.

A process has one environment, and botocore, proxies and TLS read theirs from it. So commands that differ in these
variables have background processes of their own: no command gets a tunnel with the credentials of another.

`eicctl proxy` imports this before its first byte, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
import time

from eicctl.support import log
from eicctl.support.activity import COLUMNS, TARGET
from eicctl.support.pins import PROFILE_VARIABLES, REGION_VARIABLES, environment_profile, environment_region

try:
    from _blake2 import blake2b  # hashlib loads OpenSSL, which takes some milliseconds
except ImportError:  # a Python that was built without it
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO
    from pathlib import Path
    from typing import Any

_NAMES = frozenset({"HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_STARTS = ("AWS_", "EICCTL_")
_NOT = frozenset({"EICCTL_AGENT", log.VARIABLE, COLUMNS, TARGET})
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def for_process(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a background process: without what requests say in words (`pins`), so that commands for
    several profiles and regions share a process."""
    found = os.environ if environ is None else environ
    in_requests = (
        *(PROFILE_VARIABLES if environment_profile(found) else ()),
        *(REGION_VARIABLES if environment_region(found) else ()),
    )
    return {name: value for name, value in found.items() if name not in in_requests}


def fingerprint(environ: Mapping[str, str] | None = None) -> str:
    """Return a short name for the variables that matter; it does not tell their values."""
    relevant = {name: value for name, value in for_process(environ).items() if _matters(name)}
    text = "\0".join(f"{name}={value}" for name, value in sorted(relevant.items()))
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8, person=b"eicctl-agent").hexdigest()


def _matters(name: str) -> bool:
    if name in _NOT:
        return False
    return name in _NAMES or name.startswith(_STARTS) or name.lower() in _PROXIES


LONGEST = 100
"""Most bytes in the path of a Unix socket: 107 on Linux, 103 on macOS."""

PREFIX = "agent-"

_OFF = frozenset({"off", "no", "0", "false"})
_ON = frozenset({"on", "yes", "1", "true"})

_FOLDER = 0o40700
"""The mode of a folder of its user alone."""


def switched(environ: Mapping[str, str]) -> bool | None:
    """Return what `EICCTL_AGENT` says: whether to use and start background processes; None where it says nothing."""
    value = environ.get("EICCTL_AGENT", "").lower()
    return False if value in _OFF else value in _ON or None


def usual_path(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the path of the socket of the process `name`, or None where `AgentPaths` must find it."""
    folder = usual_folder(environ)
    path = f"{folder}/{PREFIX}{name}.sock"
    return path if folder and len(os.fsencode(path)) <= LONGEST else None


def usual_folder(environ: Mapping[str, str]) -> str | None:
    """Return eicctl's runtime folder, as `paths.runtime_dir` has it, or None where that must find it."""
    if home := environ.get("EICCTL_HOME"):
        return None if home.startswith("~") or home.endswith("/") else f"{home}/run"
    if sys.platform != "linux":
        return None
    base = environ.get("XDG_RUNTIME_DIR", "").strip() or f"/run/user/{os.getuid()}"
    try:
        status = os.lstat(base)
    except OSError:
        return None
    good = status.st_mode == _FOLDER and status.st_uid == os.getuid() and base.startswith("/")
    return f"{base.rstrip('/')}/eicctl" if good else None


class AgentPaths:
    """The files of one background process, in a folder of this user alone.

    Args:
        name: The fingerprint of its environment.

    Attributes:
        socket: Where it listens.
        lock: Locked by the process as long as it runs.
        start: Locked while the process is started.
        record: What it holds, for the case that it is killed.
        log: Its own log.

    Raises:
        LocalError: A folder cannot be created, or belongs to another user.
    """

    def __init__(self, name: str) -> None:
        from eicctl.support import paths

        folder = paths.runtime_dir()
        self.name = name
        self.socket = folder / f"{PREFIX}{name}.sock"
        if len(os.fsencode(self.socket)) > LONGEST:
            import tempfile

            short = blake2b(os.fsencode(folder), digest_size=6).hexdigest()
            self.socket = paths.private(type(folder)(tempfile.gettempdir()) / f"eicctl-{short}") / self.socket.name
        self.lock = folder / f"{PREFIX}{name}.lock"
        self.start = folder / f"{PREFIX}{name}.start"
        self.record = folder / f"{PREFIX}{name}.json"
        self.log = paths.state_dir() / "agent.log"

    def write_record(self, definitions: list[dict[str, Any]], pid: int) -> None:
        """Write what the process `pid` holds, or held."""
        import json

        from eicctl.support import files

        files.write_whole(self.record, json.dumps({"Pid": pid, "Tunnels": definitions}), durable=False)

    def read_record(self) -> dict[str, Any]:
        """Return what a process has written; without a PID and tunnels where it has not."""
        from eicctl.support import jsonstore

        found = jsonstore.read(self.record)
        return found if isinstance(found.get("Tunnels"), list) else {"Pid": 0, "Tunnels": []}

    def remove(self, patience: float = 0.0) -> None:
        """Remove the files, if within so many seconds no process holds them, and none is being started."""
        starting = lock_file(self.start, 0.0)
        running = lock_file(self.lock, time.monotonic() + patience) if starting else None
        for path in (self.record, self.socket, self.lock, self.start) if running else ():
            path.unlink(missing_ok=True)
        for file in filter(None, (running, starting)):
            file.close()


def all_paths() -> list[AgentPaths]:
    """Return the paths of all background processes that run, or have been killed."""
    from eicctl.support import paths

    names = {path.stem.removeprefix(PREFIX) for path in paths.runtime_dir().glob(f"{PREFIX}*.lock")}
    return [AgentPaths(name) for name in sorted(names)]


def lock_file(path: Path, deadline: float) -> FileIO | None:
    """Open a file and lock it; None where another process has the lock until the deadline (`time.monotonic()`).

    Raises:
        LocalError: It cannot be opened.
    """
    from io import FileIO

    from eicctl.core.errors import LocalError
    from eicctl.support.files import flock

    while True:
        try:
            file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b")
        except OSError as error:
            raise LocalError(f"Cannot open {path}: {error.strerror}") from error
        locked = flock(file.fileno(), timeout=deadline - time.monotonic())
        if locked and os.fstat(file.fileno()).st_nlink:  # else `remove` was faster
            return file
        file.close()
        if not locked:
            return None
