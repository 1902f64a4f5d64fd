"""Blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def _nothing(_: object) -> None:
    return


async def in_thread(call: Callable[[], T], discard: Callable[[T], None] = _nothing) -> T:
    """Make a blocking call in a thread of its own and return its result.

    The thread is a daemon: unlike with `asyncio.to_thread`, the end of the process does not wait for a slow network.

    Args:
        call: What to call.
        discard: Takes a result that nobody waits for any more, because the caller was cancelled.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = call()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_Delivery(future, result, failure, discard))

    threading.Thread(target=work, daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and future.exception() is None:
            discard(future.result())  # it came in the moment of the cancellation
        raise


class _Delivery(Generic[T]):
    """The call that gives a future its result. A loop that is closed drops the calls that it has not made: what such a
    one brings is discarded."""

    def __init__(
        self, future: asyncio.Future[T], result: T | None, failure: BaseException | None, discard: Callable[[T], None]
    ) -> None:
        self._future = future
        self._result = result
        self._failure = failure
        self._discard = discard
        self._made = False

    def __call__(self) -> None:
        self._made = True
        if self._future.done():
            self._throw_away()
        elif self._failure is not None:
            self._future.set_exception(self._failure)
        else:
            self._future.set_result(self._result)  # type: ignore[arg-type]

    def __del__(self) -> None:
        if not self._made:
            with contextlib.suppress(Exception):
                self._throw_away()

    def _throw_away(self) -> None:
        if self._failure is None:
            self._discard(self._result)  # type: ignore[arg-type]
