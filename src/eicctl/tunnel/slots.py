"""An endpoint's connection slots, and the queue for them.

An endpoint accepts 20 concurrent connections (docs/explanation/protocol.md#limits), whoever opens them. All connections
of a process to one endpoint share one `Slots`, which counts them and queues those without a slot, first come, first
served. A process cannot see the connections of others; it learns from a refusal that the endpoint is full. From then
on the first in the queue asks again when a slot of this process becomes free, and after growing pauses. While the
endpoint accepts connections, the number of simultaneous requests doubles.

Nothing here blocks: a `SlotReservation` announces its turn by a future, for both threads and event loops.
"""

from __future__ import annotations

import bisect
import itertools
import os
import threading
import time
from collections import Counter
from concurrent.futures import Future

from eicctl.core.errors import ThrottledError
from eicctl.core.names import counted
from eicctl.support.clock import Backoff
from eicctl.tunnel.errors import TOO_MANY

LIMIT = 20
"""Connections that an endpoint carries at once (docs/explanation/protocol.md#limits)."""

QUEUE = 200
"""Slots that may be waited for at an endpoint. Each costs a descriptor of a local client, of which an event loop on
Windows takes 512 at most."""

QUEUE_TIMEOUT = 30.0
"""Seconds for which a slot is waited for."""

NOTICE = 1.0
"""Seconds after which the wait is reported."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds after a refusal in which the endpoint is not asked again, unless a slot of this process becomes free."""


class SlotReservation:
    """A slot for one connection at an endpoint, held or waited for. Safe to use from several threads.

    Attributes:
        label: What it is for, in messages.
    """

    def __init__(self, slots: Slots, number: int, label: str) -> None:
        self.label = label
        self._slots = slots
        self._number = number
        self._turn: Future[None] = Future()

    @property
    def turn(self) -> Future[None]:
        """Is done when the endpoint may be asked for the connection. `refused` replaces it."""
        return self._turn

    @property
    def before(self) -> int:
        """How many are served before it; 0 for the first in the queue, and for a slot that is held."""
        with self._slots._lock:
            return self._slots._waiting.index(self) if self in self._slots._waiting else 0

    def opened(self) -> None:
        """The endpoint has accepted the connection."""
        slots = self._slots
        with slots._lock:
            if self not in slots._asking:
                return
            slots._asking.discard(self)
            slots._open.add(self)
            slots._at_once *= 2
            slots._backoff.reset()
            slots._ask_again = 0.0
            served = slots._serve()
        _announce(served)

    def refused(self) -> None:
        """The endpoint has no slot: wait again, before all who came later."""
        slots = self._slots
        with slots._lock:
            if self not in slots._asking:
                return
            slots._asking.discard(self)
            self._turn = Future()
            bisect.insort(slots._waiting, self, key=lambda one: one._number)
            slots._at_once = 1
            slots._ask_again = time.monotonic() + slots._backoff.pause()
            served = slots._serve()
        _announce(served)

    def release(self) -> None:
        """Give the slot to the next one, or stop waiting for it. Calling it again does nothing."""
        slots = self._slots
        with slots._lock:
            if self in slots._open:
                slots._backoff.reset()
                slots._ask_again = 0.0
            elif self not in slots._asking and self not in slots._waiting:
                return
            slots._open.discard(self)
            slots._asking.discard(self)
            if self in slots._waiting:
                slots._waiting.remove(self)
            served = slots._serve()
        self.turn.cancel()
        _announce(served)

    def timed_out(self, seconds: float, refusal: ThrottledError | None) -> ThrottledError:
        """Return the error for a slot that was waited for in vain.

        Args:
            seconds: How long it was waited for.
            refusal: The endpoint's last refusal, or None if it was not asked.
        """
        with self._slots._lock:
            if refusal is None:
                return self._slots._error(
                    f"No slot at endpoint {self._slots.endpoint_id} became free within {seconds:g} s"
                )
            return self._slots._error(f"{refusal.message.rstrip('.')}, even after {seconds:g} s", refusal)

    def note(self, seconds: float, refusal: ThrottledError | None) -> str:
        """Return what the user should know of a wait; the arguments are those of `timed_out`."""
        if refusal:
            return f"waiting up to {seconds:g} s: {refusal.message}"
        limit, endpoint = self._slots.limit, self._slots.endpoint_id
        return f"waiting up to {seconds:g} s: this process has {counted(limit, 'connection')} to {endpoint}, its limit"


class Slots:
    """The slots at one endpoint, as known to this process.

    Args:
        endpoint_id: The endpoint.
        limit: Most connections of this process at a time.
    """

    def __init__(self, endpoint_id: str, limit: int = LIMIT) -> None:
        self.endpoint_id = endpoint_id
        self._limit = limit
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[SlotReservation] = []
        self._asking: set[SlotReservation] = set()
        self._open: set[SlotReservation] = set()
        self._at_once: float = float("inf")  # how many may ask at the same time
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._ask_again = 0.0
        self._timer: threading.Timer | None = None

    @property
    def limit(self) -> int:
        """Most connections of this process at a time."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        with self._lock:
            self._limit = limit
            served = self._serve()
        _announce(served)

    @property
    def used(self) -> int:
        """How many connections this process has there, with those that are being opened."""
        return len(self._asking) + len(self._open)

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._waiting)

    def claim(self, label: str) -> SlotReservation:
        """Return a new slot, whose turn comes after all that wait already.

        Args:
            label: What it is for, in messages.

        Raises:
            ThrottledError: The queue is full.
        """
        with self._lock:
            if len(self._waiting) >= QUEUE:
                raise self._error(f"{QUEUE} connections are already waiting for a slot at endpoint {self.endpoint_id}")
            reservation = SlotReservation(self, next(self._numbers), label)
            self._waiting.append(reservation)
            served = self._serve()
        _announce(served)
        return reservation

    # With the lock held

    def _serve(self) -> list[SlotReservation]:
        """Return the slots whose turn it is; their futures are set without the lock."""
        served: list[SlotReservation] = []
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self.used < self._limit and len(self._asking) < self._at_once:
            if (pause := self._ask_again - time.monotonic()) > 0:
                self._timer = threading.Timer(pause, self._timer_fired)
                self._timer.daemon = True
                self._timer.start()
                break
            reservation = self._waiting.pop(0)
            self._asking.add(reservation)
            served.append(reservation)
        if not self._waiting and not self._asking:
            self._at_once = float("inf")
        return served

    def _error(self, what: str, refusal: ThrottledError | None = None) -> ThrottledError:
        counts = Counter(reservation.label for reservation in (*self._open, *self._asking))
        mine = ", ".join(f"{count} to {label}" for label, count in counts.most_common(5))
        mine = f": {mine}{', …' if len(counts) > 5 else ''}" if mine else ""
        limit = "" if refusal else f" (limit {self._limit})"
        process = f"; this process (eicctl, PID {os.getpid()}) has {self.used}{limit}{mine}"
        return ThrottledError(
            what + (process if self.used or not refusal else ""),
            hint=refusal.hint if refusal and self.used < LIMIT else TOO_MANY,
            transient=True,
            request_id=refusal.request_id if refusal else None,
        )

    def _timer_fired(self) -> None:
        with self._lock:
            self._timer = None
            served = self._serve()
        _announce(served)


def _announce(served: list[SlotReservation]) -> None:
    for reservation in served:
        turn = reservation.turn
        if turn.set_running_or_notify_cancel():
            turn.set_result(None)


_slots: dict[str, Slots] = {}
_slots_lock = threading.Lock()


def connections() -> dict[str, int]:
    """Return how many connections this process has to each endpoint."""
    with _slots_lock:
        return {endpoint_id: slots.used for endpoint_id, slots in _slots.items() if slots.used}


def slots_of(endpoint_id: str) -> Slots:
    """Return the slots at an endpoint, which the whole process shares."""
    with _slots_lock:
        return _slots.setdefault(endpoint_id, Slots(endpoint_id))
