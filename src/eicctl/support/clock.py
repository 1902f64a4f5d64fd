"""This machine's clock against AWS's: a signature holds its time, and AWS refuses one of another time."""

from __future__ import annotations

import sys
import time

TOLERANCE = 240
"""Seconds of difference to AWS's clock from which the clock is named as a cause; SigV4 allows some 300."""


def seconds_ahead(date: str) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the `Date` of an answer that has just come.

    None where that is no date.
    """
    from email.utils import parsedate_to_datetime

    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    return time.time() - theirs.timestamp()


def complaint(date: str, *, behind: float = TOLERANCE) -> str | None:
    """Return a hint if this machine's clock differs from an answer's `Date` by more than a signature can bear.

    `behind` is by how many seconds it may be behind: a presigned URL is good for less time than other signatures.
    """
    ahead = seconds_ahead(date)
    if ahead is None or -behind < ahead < TOLERANCE:
        return None
    way = "ahead of" if ahead > 0 else "behind"
    return f"this machine's clock is {abs(ahead):.0f} s {way} AWS's; set it right: {how_to_set()}"


def how_to_set() -> str:
    """Return the command that sets this machine's clock by the network."""
    if sys.platform == "darwin":
        return "sudo sntp -sS time.apple.com"
    return "w32tm /resync" if sys.platform == "win32" else "sudo timedatectl set-ntp true"
