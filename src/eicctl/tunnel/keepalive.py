"""Pings through idle tunnels, so that no middlebox forgets them, and how a peer that is gone is noticed.

A peer that takes nothing may be alive: the target behind it may have stopped reading. So silence alone ends no tunnel.
What does is a kernel that gets no acknowledgement for what it has sent (Linux tells); or, where a proxy acknowledges in
the peer's place, a ping without an answer from a peer that has answered one before and was sent nothing else since.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from eicctl.core.errors import EicctlError
from eicctl.support import defaults

if TYPE_CHECKING:
    from eicctl.tunnel.dial import Link
    from eicctl.tunnel.relay import Relay
    from eicctl.tunnel.selector_loop import Reactor, Timer

INTERVAL = 30.0
"""Seconds without traffic after which a ping is sent, where the user does not say otherwise."""

SILENCE = 50.0
"""Seconds without an acknowledgement after which a peer counts as gone."""

PATIENCE = 15.0
"""Seconds that what was sent must have waited by then: the last acknowledgement may be old because nothing was sent."""

LOOKS = 5
"""How often it is looked in the time of an interval, or of `INTERVAL` where that is shorter."""

_given: float | None = None


def set_interval(seconds: float) -> None:
    """Set the interval for this process; 0 for no pings."""
    global _given  # noqa: PLW0603 - a process has one user
    _given = seconds


def given_interval() -> float | None:
    """Return what `set_interval` has set, or None."""
    return _given


def interval() -> float:
    """Return the interval: that of a command's option, else `keepalive` of config.toml, else `INTERVAL`."""
    if _given is not None:
        return _given
    try:
        return float(defaults.of_user().get("keepalive", INTERVAL))
    except EicctlError:  # the command that needs the file says what is wrong with it
        return INTERVAL


class Keepalive:
    """Looks after one link, from `start` to `stop`, on the reactor's thread."""

    def __init__(self, reactor: Reactor, link: Link, relay: Relay) -> None:
        self._reactor = reactor
        self._link = link
        self._relay = relay
        self._every = min(link.keepalive or INTERVAL, INTERVAL) / LOOKS
        self._seen = (0, 0, 0)
        self._quiet_since = self._pinged = self._acknowledged = time.monotonic()
        self._unanswered: float | None = None  # when the first ping was sent that has no answer
        self._sent = 0  # bytes before the last ping
        self._taken: int | None = None  # bytes before the last ping that was answered
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin."""
        self._timer = self._reactor.call_later(self._every, self._look)

    def stop(self) -> None:
        """End."""
        if self._timer:
            self._timer.cancel()

    def _look(self) -> None:
        now = time.monotonic()
        self._timer = self._reactor.call_later(self._every, self._look)
        seen = (self._relay.bytes_in, self._relay.bytes_out, self._link.frames.pongs)
        if seen[2] > self._seen[2]:
            self._taken = self._sent
        if seen != self._seen:
            self._seen, self._quiet_since, self._unanswered = seen, now, None
        elif not self._relay.reads:
            self._unanswered = None  # the answer may lie there
        wanted = self._link.keepalive
        if silent := self._silent(now):
            self._relay.gone(silent)
        elif wanted and now - max(self._quiet_since, self._pinged) >= wanted and self._relay.ping():
            self._pinged, self._sent = now, seen[1]
            self._unanswered = self._unanswered or now

    def _silent(self, now: float) -> float:
        """Return for how many seconds a peer that is gone has been silent; 0 for one that may be there."""
        waits, last = self._link.stream.unacknowledged()
        if not waits:
            self._acknowledged = now
        elif last > SILENCE and now - self._acknowledged > PATIENCE:
            return last
        if self._unanswered and now - self._unanswered > PATIENCE and self._taken == self._relay.bytes_out:
            return now - self._quiet_since
        return 0.0
