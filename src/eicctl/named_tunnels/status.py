"""How a named tunnel is doing, as a value.

Rates: how many more bytes were relayed than at the last look.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from eicctl.named_tunnels.config_file import Kind

SHORTEST = 0.2
"""Seconds between two looks that say something of a rate."""


class Meter:
    """Adds rates to statuses, from one look to the next."""

    def __init__(self) -> None:
        self._looked = 0.0
        self._before: dict[str, tuple[int, int]] = {}

    def with_rates(self, statuses: Sequence[Status]) -> list[Status]:
        """Return statuses with their rates since the last call; without any at the first."""
        now = time.monotonic()
        elapsed = now - self._looked
        before, self._before = self._before, {s.name: (s.bytes_in, s.bytes_out) for s in statuses}
        self._looked = now
        if elapsed < SHORTEST:
            return list(statuses)

        def rated(status: Status) -> Status:
            # A new one has no rate yet; opened anew in between, it may have relayed less.
            old_in, old_out = before.get(status.name, (status.bytes_in, status.bytes_out))
            more_in, more_out = max(0, status.bytes_in - old_in), max(0, status.bytes_out - old_out)
            return replace(status, rate_in=more_in / elapsed, rate_out=more_out / elapsed)

        return [rated(status) for status in statuses]


State = Literal["opening", "open", "failing", "retrying", "closed", "lost", "unknown"]
"""`opening`; `open`; `failing` (it listens, but the last connection failed, or the SSH connection is being made again);
`retrying` (it could not be opened and will be tried again); `closed`; `lost` (the background process that had it was
killed); `unknown` (the background process that has it cannot be asked)."""


@dataclass(frozen=True, slots=True)
class Status:
    """A moment of a named tunnel.

    Attributes:
        name: Its name.
        kind: Its kind.
        source: The file that defines it.
        state: See `State`.
        local: Where it listens: `127.0.0.1:PORT`, `[::1]:PORT`, or a path.
        remote: Where its connections go, as text.
        via: The endpoint or the instance that they go through; empty while that is not known.
        connections: Connections at the moment.
        total: Connections so far.
        bytes_in: Bytes that came from the target.
        bytes_out: Bytes that went to it.
        rate_in: Bytes a second from the target, lately.
        rate_out: Bytes a second to it, lately.
        seconds_left: Until the first tunnel in use reaches its duration; None if there is none.
        since: When it came into its state, in seconds since the epoch.
        retry_in: Seconds until the next attempt, when it is `retrying`.
        error: The last failure, or an empty string.
        hint: What to do about it, or an empty string.
    """

    name: str
    kind: Kind
    source: str
    state: State
    local: Sequence[str] = ()
    remote: str = ""
    via: str = ""
    connections: int = 0
    total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    rate_in: float = 0.0
    rate_out: float = 0.0
    seconds_left: float | None = None
    since: float = 0.0
    retry_in: float | None = None
    error: str = ""
    hint: str = ""
