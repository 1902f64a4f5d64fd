"""Rates: how much more was carried than at the last look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from eicctl.named_tunnels.status import Status

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
        return [_rated(status, before.get(status.name), elapsed) for status in statuses]


def _rated(status: Status, before: tuple[int, int] | None, elapsed: float) -> Status:
    if before is None:
        return status
    # Opened anew in between, it may have carried less.
    more_in, more_out = max(0, status.bytes_in - before[0]), max(0, status.bytes_out - before[1])
    return replace(status, rate_in=more_in / elapsed, rate_out=more_out / elapsed)
