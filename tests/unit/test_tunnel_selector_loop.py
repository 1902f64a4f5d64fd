"""The small event loop of stdio."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from eicctl.tunnel.selector_loop import SelectorReactor


@pytest.fixture
def reactor() -> Iterator[SelectorReactor]:
    made = SelectorReactor()
    yield made
    made.close()


def test_timers_run_in_order_and_can_be_cancelled(reactor: SelectorReactor) -> None:
    seen: list[str] = []
    reactor.call_later(0.03, reactor.stop)
    reactor.call_later(0.02, lambda: seen.append("second"))
    reactor.call_later(0.01, lambda: seen.append("first"))
    reactor.call_later(0.005, lambda: seen.append("never")).cancel()
    reactor.call_soon_threadsafe(lambda: seen.append("soon"))
    reactor.run()
    assert seen == ["soon", "first", "second"]


def test_reading_and_writing_the_same_descriptor(reactor: SelectorReactor) -> None:
    ours, theirs = socket.socketpair()
    seen: list[str] = []

    def writable() -> None:
        seen.append("writable")
        reactor.remove_writer(ours.fileno())
        theirs.send(b"x")

    def readable() -> None:
        seen.append("readable")
        reactor.remove_reader(ours.fileno())
        reactor.stop()

    with ours, theirs:
        reactor.add_reader(ours.fileno(), readable)
        reactor.add_writer(ours.fileno(), writable)
        reactor.run()
    assert seen == ["writable", "readable"]


def test_a_callback_that_was_removed_in_the_same_round_is_not_called(reactor: SelectorReactor) -> None:
    first, first_peer = socket.socketpair()
    second, second_peer = socket.socketpair()
    seen: list[int] = []

    def called(own: socket.socket, other: socket.socket) -> None:
        seen.append(own.fileno())
        reactor.remove_reader(own.fileno())
        reactor.remove_reader(other.fileno())
        reactor.call_soon_threadsafe(reactor.stop)

    with first, first_peer, second, second_peer:
        reactor.add_reader(first.fileno(), lambda: called(first, second))
        reactor.add_reader(second.fileno(), lambda: called(second, first))
        first_peer.send(b"x")
        second_peer.send(b"x")
        reactor.run()
        assert len(seen) == 1


def test_stopped_before_it_runs(reactor: SelectorReactor) -> None:
    reactor.stop()
    reactor.run()
    reactor.call_soon_threadsafe(reactor.stop)  # and it can be run again
    reactor.run()


def test_another_thread_wakes_it(reactor: SelectorReactor) -> None:
    threading.Timer(0.05, lambda: reactor.call_soon_threadsafe(reactor.stop)).start()
    started = time.monotonic()
    reactor.run()
    assert time.monotonic() - started < 5


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that signals")
def test_a_signal_handler_wakes_it(reactor: SelectorReactor) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: reactor.call_soon_threadsafe(reactor.stop))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        reactor.run()
    finally:
        signal.signal(signal.SIGALRM, before)
