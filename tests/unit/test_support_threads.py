"""Blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from eicctl.support import threads
from eicctl.support.threads import in_thread
from tests.waiting import wait_for


def test_a_result_that_nobody_waits_for_any_more_is_discarded() -> None:
    go_on = threading.Event()
    discarded: list[str] = []

    async def main() -> None:
        def work() -> str:
            go_on.wait(60)
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


@pytest.fixture(autouse=True)
def no_idle_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_idle", [])


def test_a_thread_serves_one_call_after_another_and_no_two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE", 0.2)

    async def main() -> None:
        first = await in_thread(threading.get_ident)
        while not threads._idle:
            await asyncio.sleep(0.001)
        assert await in_thread(threading.get_ident) == first
        barrier = threading.Barrier(20)
        await asyncio.gather(*(in_thread(lambda: barrier.wait(60)) for _ in range(20)))

    before = set(threading.enumerate())
    asyncio.run(main())

    def over() -> bool:
        own = set(threading.enumerate()) - before
        return not threads._idle and not any(isinstance(one, threads._Worker) for one in own)

    wait_for(over, "the end of idle threads")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_process_has_threads_of_its_own() -> None:
    async def main() -> int:
        return await in_thread(os.getpid)

    assert asyncio.run(main()) == os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0 if asyncio.run(main()) == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_nor_is_one_lost_that_comes_in_the_moment_of_the_cancellation() -> None:
    go_on = threading.Event()
    discarded: list[str] = []

    async def main() -> None:
        def work() -> str:
            go_on.wait(60)
            return "now"

        call = asyncio.ensure_future(in_thread(work, discarded.append))
        await asyncio.sleep(0)
        go_on.set()
        while not threads._idle:  # the loop stands still: the result waits to be delivered
            time.sleep(0.01)
        asyncio.get_running_loop().call_soon(call.cancel)  # after the delivery, before the task goes on
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
    assert discarded == ["now"]
