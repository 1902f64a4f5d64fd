"""Does the endpoint let us in, and does the target answer?"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from websockets.exceptions import InvalidState

from eicctl.errors import EicctlError, NetworkError
from eicctl.tunnel import failures
from eicctl.tunnel.dial import Dialer, Link

WAIT = {22: 3.0}
"""Seconds to wait for the target's first byte, by remote port: an SSH server speaks first."""

WAIT_OTHERWISE = 0.5
"""Seconds to wait where the target need not speak first: long enough for most refusals to arrive."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe has found.

    Attributes:
        banner: The target's first bytes. Empty where it has not spoken: only the endpoint has accepted us then
            (eice-facts.md: an upgraded websocket does not prove that the target answers).
        request_id: The service's request ID, or an empty string.
    """

    banner: bytes
    request_id: str


def probe(dialer: Dialer) -> Probe:
    """Open a tunnel, wait a moment for the target's first byte, and close it.

    Raises:
        EicctlError: The endpoint refused, or it cannot reach the target.
    """
    link = dialer.open()
    try:
        return Probe(_first_bytes(link), link.request_id)
    finally:
        link.stream.close()


def _first_bytes(link: Link) -> bytes:
    wait = WAIT.get(link.target.remote_port, WAIT_OTHERWISE)
    deadline = time.monotonic() + wait
    data: memoryview | None = memoryview(link.early)
    banner = b""
    while not banner:
        banner = b"".join(link.frames.receive(data)) if data else b""
        if not banner and (error := _refused(link)):
            raise error
        left = deadline - time.monotonic()
        if banner or left <= 0:
            break
        link.stream.settimeout(left)
        try:
            data = link.stream.receive()
        except (TimeoutError, EOFError):
            break
        except OSError as broken:
            raise NetworkError(f"the connection to the endpoint broke: {broken}", transient=True) from broken
    _say_goodbye(link)
    return banner


def _refused(link: Link) -> EicctlError | None:
    close = link.frames.closed
    if close is None:
        return None
    lived = time.monotonic() - link.opened
    return failures.closing(
        close.code, close.reason, lived=lived, limit=link.max_duration, answered=False, target=link.target
    )


def _say_goodbye(link: Link) -> None:
    link.stream.settimeout(1.0)
    with contextlib.suppress(OSError, InvalidState):
        link.protocol.send_close(1000)
        link.stream.send(b"".join(link.protocol.data_to_send()))
