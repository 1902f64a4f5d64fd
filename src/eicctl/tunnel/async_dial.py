"""A link from an event loop: no thread waits for the endpoint's slot."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from eicctl.core.errors import EicctlError, ThrottledError
from eicctl.support.threads import in_thread
from eicctl.tunnel.dial import RETRY_BUDGET, Dialer, Link


async def open_link(
    dialer: Dialer,
    *,
    retry_budget: float = RETRY_BUDGET,
    retrying: Callable[[EicctlError], None] | None = None,
    queued: Callable[[int], None] | None = None,
) -> Link:
    """Return an open link; the dial itself is made in a thread. Cancelling it gives the slot to the next one.

    Args:
        dialer: Opens the link.
        retry_budget: See `Dialer.dial`.
        retrying: Called on the loop with the error of a dial that is tried again, and with the first refusal.
        queued: Called once, if no slot is free at once, with the number of connections that are served before.

    Raises:
        EicctlError: No slot became free in time, or the dial failed.
    """
    loop = asyncio.get_running_loop()
    reservation = dialer.claim()
    deadline = loop.time() + dialer.queue_timeout
    refusal: ThrottledError | None = None

    def tell(error: EicctlError) -> None:
        if retrying:
            loop.call_soon_threadsafe(retrying, error)

    dial = functools.partial(dialer.dial, reservation, retry_budget=retry_budget, waiting=tell)
    try:
        while True:
            if queued and not reservation.turn.done():
                queued(reservation.before)
                queued = None
            try:
                async with asyncio.timeout_at(deadline):
                    await asyncio.wrap_future(reservation.turn)
            except TimeoutError:
                raise reservation.timed_out(dialer.queue_timeout, refusal) from refusal
            try:
                return await in_thread(dial, Link.close)
            except ThrottledError as error:
                if retrying and not refusal:
                    retrying(error)
                refusal = error
                reservation.refused()
    except BaseException:
        reservation.release()
        raise
