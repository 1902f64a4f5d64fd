"""The lock that a background process holds as long as it lives, however it ends."""

from __future__ import annotations

import os
import time

from eicctl.agent.paths import Place
from eicctl.core.errors import ConflictError, LocalError

PATIENCE = 5.0
"""Seconds for which a new process waits for the end of an old one, which may have tunnels to close."""


class Hold:
    """The lock of a place.

    Raises:
        ConflictError: Another process holds it.
        LocalError: The file cannot be opened.
    """

    def __init__(self, place: Place) -> None:
        try:
            self._descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(f"cannot open {place.lock}: {error.strerror}") from error
        deadline = time.monotonic() + PATIENCE
        while not self._taken():
            if time.monotonic() > deadline:
                os.close(self._descriptor)
                pid = (place.read_record() or {}).get("Pid")
                raise ConflictError(f"another background process (PID {pid}) does not respond")
            time.sleep(0.05)

    def _taken(self) -> bool:
        import fcntl  # not on Windows, where there is no background process

        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give it up."""
        os.close(self._descriptor)
