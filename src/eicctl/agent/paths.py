"""The socket and the files of a background process, in a folder of this user alone."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from eicctl.agent.environment import LONGEST, PREFIX
from eicctl.core.errors import LocalError
from eicctl.support import files, jsonstore, paths


@dataclass(frozen=True, slots=True)
class AgentPaths:
    """The files of one background process.

    Attributes:
        name: The fingerprint of its environment.
    """

    name: str

    @property
    def socket(self) -> Path:
        """Where it listens."""
        path = _folder() / f"{PREFIX}{self.name}.sock"
        if len(os.fsencode(path)) <= LONGEST:
            return path
        short = blake2b(os.fsencode(path.parent), digest_size=6).hexdigest()
        return paths.private(Path(tempfile.gettempdir()) / f"eicctl-{short}") / path.name

    @property
    def lock(self) -> Path:
        """Locked by the process as long as it runs."""
        return _folder() / f"{PREFIX}{self.name}.lock"

    @property
    def record(self) -> Path:
        """What it holds, for the case that it is killed."""
        return _folder() / f"{PREFIX}{self.name}.json"

    @property
    def log(self) -> Path:
        """Its own log."""
        return paths.state_dir() / "agent.log"

    def write_record(self, definitions: list[dict[str, Any]], pid: int) -> None:
        """Write what the process `pid` holds, or held."""
        files.write_whole(self.record, json.dumps({"Pid": pid, "Tunnels": definitions}))

    def read_record(self) -> dict[str, Any] | None:
        """Return what a process has written, or None."""
        found = jsonstore.read(self.record)
        return found if isinstance(found.get("Tunnels"), list) else None

    def remove(self) -> None:
        """Remove record and socket."""
        for path in (self.record, self.socket):
            with contextlib.suppress(OSError):
                path.unlink()


def all_paths() -> list[AgentPaths]:
    """Return the paths of all background processes that run, or have been killed."""
    names = {path.stem.removeprefix(PREFIX) for path in _folder().glob(f"{PREFIX}*.lock")}
    return [AgentPaths(name) for name in sorted(names)]


def _folder() -> Path:
    return paths.runtime_dir()


def open_lockfile(path: Path) -> int:
    """Return the descriptor of a file to lock.

    Raises:
        LocalError: It cannot be opened.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LocalError(f"cannot open {path}: {error.strerror}") from error


def lock(descriptor: int, deadline: float) -> bool:
    """Lock a file, waiting for another process that holds the lock until the deadline; return whether it is locked."""
    import fcntl  # not on Windows, where there is no background process

    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True
