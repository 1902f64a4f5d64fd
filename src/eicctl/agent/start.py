"""Starting the background process, once, whoever else starts it at the same time."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

from eicctl import files
from eicctl.agent import surroundings
from eicctl.agent.place import Place
from eicctl.errors import LocalError

READY = b"ready"

IDLE = 600.0
"""Seconds without tunnels and requests after which a background process ends; `EICCTL_AGENT_IDLE` sets another time."""

START_TIMEOUT = 20.0


def here() -> Place:
    """Return the place of the background process for this environment.

    Raises:
        LocalError: This platform has none.
    """
    if sys.platform == "win32":
        raise LocalError("there is no background process on Windows", hint="eicctl up; in a window of its own")
    return Place(surroundings.fingerprint())


def start(place: Place, *, wait: bool = True) -> None:
    """Start the process of a place and return when it listens; if one listens already, nothing is done.

    Args:
        place: Its files.
        wait: Whether to wait for another command that is starting it now, rather than leave it to that.

    Raises:
        LocalError: It does not start.
    """
    from eicctl.agent.client import answers

    with files.locked(place.lock.with_suffix(".start"), wait=wait) as taken:
        if taken and not answers(place):
            _spawn(place)


def _spawn(place: Place) -> None:
    reading, writing = os.pipe()
    try:
        with Path(os.devnull).open("r+b") as nothing:
            process = subprocess.Popen(
                [sys.executable, "-m", "eicctl.agent", place.name, str(writing)],
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                env=surroundings.for_process(),
                pass_fds=(writing,),
                start_new_session=True,
            )
        os.close(writing)
        writing = -1
        told = _first_word(reading)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    if told != READY:
        process.kill() if process.poll() is None else None
        why = told.decode(errors="replace") or f"exit code {process.poll()}"
        raise LocalError(f"the background process did not start: {why}", hint=f"its log: {place.log}")


def _first_word(descriptor: int) -> bytes:
    """Return what a process writes before it closes its end, or nothing within the time."""
    ready, _, _ = select.select([descriptor], [], [], START_TIMEOUT)
    return os.read(descriptor, 4096) if ready else b""
