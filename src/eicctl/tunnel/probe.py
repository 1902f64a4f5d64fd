"""Does the endpoint let us in, and does the target answer?"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from eicctl.errors import EicctlError, NetworkError
from eicctl.tunnel import failures
from eicctl.tunnel.dial import RETRY_BUDGET, Dialer, Link

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
            (eice-facts.md: an upgraded websocket does not prove that the target answers).
        request_id: The service's request ID, or an empty string.
    """

    banner: bytes
    request_id: str


def probe(dialer: Dialer, *, retry_budget: float = RETRY_BUDGET, request: bytes = b"") -> Probe:
    """Open a tunnel, wait a moment for the target's first byte, and close it.

    Args:
        dialer: Opens the tunnel.
        retry_budget: See `Dialer.dial`.
        request: What to send to a target that has not spoken by then, to wait for its answer.

    Raises:
        EicctlError: The endpoint refused, or it cannot reach the target.
    """
    link = dialer.open(retry_budget=retry_budget)
    try:
        banner = _first_bytes(link, WAIT.get(link.target.remote_port, WAIT_OTHERWISE))
        if request and not banner and link.protocol.state is OPEN:
            link.protocol.send_binary(request)
            link.stream.settimeout(ANSWER_WAIT)
            with contextlib.suppress(OSError):  # it shows when the answer is read
                link.stream.send(b"".join(link.protocol.data_to_send()))
            banner = _first_bytes(link, ANSWER_WAIT)
        _say_goodbye(link)
        return Probe(banner, link.request_id)
    finally:
        link.close()


def _first_bytes(link: Link, wait: float) -> bytes:
    """Return what the target sends in so many seconds, if anything."""
    deadline = time.monotonic() + wait
    frames, link.early = link.early, []
    banner = b""
    while not banner:
        for frame in frames:
            if frame.opcode is Opcode.BINARY:
                banner += frame.data
            elif frame.opcode is Opcode.CLOSE and (error := _refused(link)):
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
        link.protocol.receive_data(data or b"")  # type: ignore[arg-type] # it extends a bytearray
        frames = [event for event in link.protocol.events_received() if isinstance(event, Frame)]
    return banner


def _refused(link: Link) -> EicctlError | None:
    close = link.protocol.close_rcvd
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
