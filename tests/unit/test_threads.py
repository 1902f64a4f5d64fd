"""Blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from eicctl.tunnel.threads import in_thread


def test_a_result_that_nobody_waits_for_any_more_is_discarded() -> None:
    go_on = threading.Event()
    discarded: list[str] = []

    async def main() -> None:
        def work() -> str:
            go_on.wait(10)
            return "late"

        call = asyncio.ensure_future(in_thread(work, discarded.append))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        while not discarded:
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert discarded == ["late"]


def test_nor_is_one_lost_that_comes_in_the_moment_of_the_cancellation() -> None:
    go_on = threading.Event()
    discarded: list[str] = []

    async def main() -> None:
        threads = threading.active_count()

        def work() -> str:
            go_on.wait(10)
            return "now"

        call = asyncio.ensure_future(in_thread(work, discarded.append))
        await asyncio.sleep(0)
        go_on.set()
        while threading.active_count() > threads:  # the loop stands still: the result waits to be delivered
            time.sleep(0.01)
        asyncio.get_running_loop().call_soon(call.cancel)  # after the delivery, before the task goes on
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
    assert discarded == ["now"]
