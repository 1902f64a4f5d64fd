"""How a connection has ended."""

from __future__ import annotations

from dataclasses import dataclass

from eicctl.core.errors import EicctlError


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """How a connection ended.

    Attributes:
        reason: A few words: `closed by the client`, `closed by the target`, or the error's message.
        error: The error, or None for an ordinary end.
        bytes_in: Bytes that came from the target.
        bytes_out: Bytes that went to it.
        duration: Seconds since the handshake.
        request_id: The service's request ID, or an empty string.
    """

    reason: str
    error: EicctlError | None
    bytes_in: int
    bytes_out: int
    duration: float
    request_id: str
