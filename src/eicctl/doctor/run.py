"""Runs the checks that do not depend on each other at the same time."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace

from eicctl.core.errors import EicctlError
from eicctl.doctor.check import Check, Outcome, Result, Status, failed
from eicctl.doctor.context import Context
from eicctl.support import pins
from eicctl.support.threads import begin


def run(checks: Sequence[Check], context: Context) -> Iterator[Result]:
    """Run checks and yield the result of each as soon as it is known, if the check still applies to the context then.

    Args:
        checks: The checks; each after those that it needs. It waits for these, and for no other.
        context: What they are about.
    """
    done: queue.SimpleQueue[Future[Result]] = queue.SimpleQueue()
    begun: dict[str, Future[Result]] = {}
    for check in checks:
        needed = [begun[key] for key in check.needs if key in begun]
        begun[check.key] = begin(lambda check=check, needed=needed: _result(check, context, needed))  # type: ignore[misc]
        begun[check.key].add_done_callback(done.put)
    for _ in checks:
        result = done.get().result()
        if result.check.applies(context):
            yield result


def _result(check: Check, context: Context, needed: Sequence[Future[Result]]) -> Result:
    for earlier in (future.result() for future in needed):
        if earlier.skipped_because or earlier.status is Status.FAILED:
            return Result(check, Outcome(Status.UNKNOWN, "skipped"), earlier.skipped_because or earlier.key)
    started = time.monotonic()
    try:
        outcome = check.run(context)
    except EicctlError as error:
        outcome = failed(error)
    outcome = replace(outcome, remediation=pins.pinned(outcome.remediation))
    return Result(check, outcome, seconds=time.monotonic() - started)
