"""Durations and distances in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration for a person: `4 ms`, `2.1 s`, `41 s`, `12 min`, `5 h`, `3 days`."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"
