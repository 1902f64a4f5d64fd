"""A client's process beside the tunnel that it uses."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Sequence
from typing import Protocol

from eicctl.core.errors import LocalError
from eicctl.support import streams

END_TIMEOUT = 3.0
"""Seconds that a client has to end before it is killed."""


class Serves(Protocol):
    """A listener."""

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""


def start(command: Sequence[str], password: str | None) -> subprocess.Popen[bytes]:
    """Start a client; the password is a line of its stdin. Otherwise it may ask on the terminal.

    This process's stdin and stdout are not a client's: they may be pipes that somebody reads and writes.

    Raises:
        LocalError: It cannot be started.
    """
    try:
        with streams.terminal() as terminal:
            source = subprocess.PIPE if password is not None else subprocess.DEVNULL if terminal is None else terminal
            process = subprocess.Popen(list(command), stdin=source, stdout=2)
    except OSError as error:
        raise LocalError(f"cannot start {command[0]}: {error.strerror}") from error
    if password is not None and process.stdin:
        with contextlib.suppress(OSError):  # it has ended; its exit code tells
            process.stdin.write(f"{password}\n".encode())
            process.stdin.close()
    return process


async def serve_client(
    listener: Serves, stop: asyncio.Event, command: Sequence[str], password: str | None
) -> int | None:
    """Serve a client until it ends; return its exit code, or None if `stop` came first, which ends the client."""
    closing = asyncio.Event()  # set after the client's end, which would otherwise tell of a lost connection
    serving = asyncio.create_task(listener.serve(closing))
    stopping = asyncio.create_task(stop.wait())
    try:
        process = start(command, password)
        # In a thread: the selector loop of Windows has no subprocesses.
        ending = asyncio.create_task(asyncio.to_thread(process.wait))
        await asyncio.wait({serving, stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
        # Ctrl-C on a terminal reaches the client too, which may have ended by it already.
        if ending.done() and not stop.is_set():
            return ending.result()
        process.terminate()
        await asyncio.wait({ending}, timeout=END_TIMEOUT)
        if not ending.done():
            process.kill()
        await ending
        return None
    finally:
        stopping.cancel()
        closing.set()
        await serving
