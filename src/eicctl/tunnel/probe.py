"""Does the endpoint let us in, and does the target answer?"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

from websockets.exceptions import InvalidState

from eicctl.core.errors import EicctlError, NetworkError
from eicctl.tunnel import errors
from eicctl.tunnel.dial import RETRY_BUDGET, Dialer, Link, Times

WAIT = {22: 3.0}
"""Seconds to wait for the target's first byte, by remote port: an SSH server speaks first."""

WAIT_OTHERWISE = 0.5
"""Seconds to wait where the target need not speak first: long enough for most refusals to arrive."""

RDP_REQUEST = bytes([3, 0, 0, 19, 14, 0xE0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0])
"""An RDP client's first bytes, which a server answers: a connection request (MS-RDPBCGR 2.2.1.1) that offers TLS."""

ANSWER_WAIT = 5.0
"""Seconds to wait for the answer to a client's first bytes."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe has found.

    Attributes:
        banner: The target's first bytes. Empty where it has not spoken: only the endpoint has accepted us then
            (docs/explanation/protocol.md#data-plane: an upgraded websocket does not prove that the target answers).
        request_id: The service's request ID, or an empty string.
        times: How long the dial's stages took.
        banner_time: Seconds from the handshake to the first bytes; 0 if none came.
    """

    banner: bytes
    request_id: str
    times: Times = field(default_factory=Times)
    banner_time: float = 0.0


def probe(dialer: Dialer, *, greeting: bytes = b"", retry_budget: float = RETRY_BUDGET) -> Probe:
    """Open a tunnel, wait a moment for the target's first byte, and close it.

    Args:
        dialer: Opens the tunnel.
        greeting: What to send to a server that does not speak first, so that it answers.
        retry_budget: Seconds after which a dial that failed for a passing reason is not begun again.

    Raises:
        EicctlError: The endpoint refused, or it cannot reach the target.
    """
    link = dialer.open(retry_budget=retry_budget)
    try:
        banner = _first_bytes(link, greeting)
        waited = time.monotonic() - link.opened if banner else 0.0
        _say_goodbye(link)
        return Probe(banner, link.request_id, link.times, waited)
    finally:
        link.close()


def _first_bytes(link: Link, greeting: bytes) -> bytes:
    wait = ANSWER_WAIT if greeting else WAIT.get(link.target.remote_port, WAIT_OTHERWISE)
    deadline = time.monotonic() + wait
    data: memoryview | None = memoryview(link.early)
    banner = b""
    if greeting:
        link.stream.settimeout(wait)
        link.protocol.send_binary(greeting)
        with contextlib.suppress(OSError):  # the reading finds out why
            link.stream.send(b"".join(link.protocol.data_to_send()))
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
            raise NetworkError(f"The connection to the endpoint broke: {broken}", transient=True) from broken
    return banner


def _refused(link: Link) -> EicctlError | None:
    close = link.frames.closed
    if close is None:
        return None
    lived = time.monotonic() - link.opened
    return errors.closing(
        close.code, close.reason, lived=lived, limit=link.max_duration, answered=False, target=link.target
    )


def _say_goodbye(link: Link) -> None:
    link.stream.settimeout(1.0)
    with contextlib.suppress(OSError, InvalidState):
        link.protocol.send_close(1000)
        link.stream.send(b"".join(link.protocol.data_to_send()))
