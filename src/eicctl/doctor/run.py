"""Checks that do not depend on each other, at the same time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from eicctl.core.errors import DeniedError, EicctlError
from eicctl.doctor.check import Check, Outcome, Status, Step
from eicctl.support import pins
from eicctl.support.parallel import begin

T = TypeVar("T")
Look = Callable[[], Outcome]


def run(steps: Sequence[Step], looks: Mapping[str, Look]) -> Iterator[Check]:
    """Make the checks and yield each as soon as it is made. A check waits for those that it needs, and for no other.

    Args:
        steps: The checks; each after those that it needs.
        looks: What makes each check, by its key. An `EicctlError` that comes out of it is the check's failure.
    """
    done: queue.SimpleQueue[Future[Check]] = queue.SimpleQueue()
    made: dict[str, Future[Check]] = {}
    for step in steps:
        needed = [made[key] for key in step.needs]
        made[step.key] = begin(lambda step=step, needed=needed: _make(step, looks[step.key], needed))  # type: ignore[misc]
        made[step.key].add_done_callback(done.put)
    for _ in steps:
        yield done.get().result()


def _make(step: Step, look: Look, needed: Sequence[Future[Check]]) -> Check:
    for earlier in (future.result() for future in needed):
        if earlier.left_out or earlier.status is Status.FAILED:
            missing = earlier.left_out or earlier.key
            return Check(step.key, step.title, Outcome(Status.UNKNOWN, "not reached"), left_out=missing)
    started = time.monotonic()
    try:
        outcome = look()
    except EicctlError as error:
        outcome = failed(error)
    outcome = replace(outcome, mend=pins.pinned(outcome.mend))
    return Check(step.key, step.title, outcome, seconds=time.monotonic() - started)


def failed(error: EicctlError) -> Outcome:
    """Return the outcome of a check that an error ends."""
    details = {"RequestId": error.request_id} if error.request_id else {}
    return Outcome(Status.FAILED, error.message, error.hint or "", exit_code=error.exit_code, details=details)


def not_seen(error: EicctlError) -> Outcome:
    """Return the outcome of a check that could not be made, which says nothing of whether it works."""
    why = "no permission to look" if isinstance(error, DeniedError) else "could not be looked at"
    return Outcome(Status.UNKNOWN, f"{why}: {error.message}", error.hint or "")


@dataclass
class Once(Generic[T]):
    """A call that several checks share: the first that asks makes it, the others wait for its result."""

    call: Callable[[], T]
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _result: Future[T] | None = field(default=None, repr=False)

    def __call__(self) -> T:
        """Return the result, or raise what the call raised."""
        with self._lock:
            first = self._result is None
            if self._result is None:
                self._result = Future()
        if first:
            try:
                self._result.set_result(self.call())
            except BaseException as error:
                self._result.set_exception(error)
        return self._result.result()
