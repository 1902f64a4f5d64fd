"""The queue for an endpoint's slots."""

from __future__ import annotations

import pytest

from eicctl.core.errors import ThrottledError
from eicctl.tunnel.slots import LIMIT, QUEUE, SlotReservation, Slots, slots_of


def ready(reservations: list[SlotReservation]) -> list[bool]:
    return [reservation.turn.done() and not reservation.turn.cancelled() for reservation in reservations]


def test_places_over_the_limit_wait_in_their_order() -> None:
    slots = Slots("eice-1", limit=2)
    reservations = [slots.claim("web-1:22") for _ in range(5)]
    assert ready(reservations) == [True, True, False, False, False]
    assert [reservation.before for reservation in reservations] == [0, 0, 0, 1, 2]
    reservations[0].opened()
    reservations[0].release()
    assert ready(reservations[1:]) == [True, True, False, False]
    reservations[0].release()
    assert slots.used == 2


def test_one_that_stops_waiting_is_skipped() -> None:
    slots = Slots("eice-1", limit=1)
    first, second, third = (slots.claim("web-1:22") for _ in range(3))
    second.release()
    assert second.turn.cancelled()
    first.release()
    assert third.turn.done()
    assert (slots.used, slots.waiting) == (1, 0)


def test_a_turn_that_nobody_takes_any_more_is_given_on() -> None:
    slots = Slots("eice-1", limit=1)
    first, second, third = (slots.claim("web-1:22") for _ in range(3))
    second.turn.cancel()  # as the cancellation of an asyncio task does, before it releases
    first.release()
    second.release()
    assert third.turn.done()


def test_after_a_refusal_the_oldest_asks_again_by_itself() -> None:
    slots = Slots("eice-1")
    first, second = slots.claim("a:22"), slots.claim("b:22")
    second.refused()
    first.refused()
    third = slots.claim("c:22")
    assert [reservation.before for reservation in (first, second, third)] == [0, 1, 2]
    first.turn.result(60)
    assert ready([second, third]) == [False, False], "one asks at a time"
    first.opened()
    second.turn.result(60)
    third.turn.result(60)


def test_a_place_of_our_own_that_becomes_free_is_asked_for_at_once() -> None:
    slots = Slots("eice-1")
    held, asking = slots.claim("a:22"), slots.claim("b:22")
    held.opened()
    asking.refused()
    assert asking.before == 0
    held.release()
    assert asking.turn.done()


def test_the_limit_can_be_raised() -> None:
    slots = Slots("eice-1", limit=1)
    reservations = [slots.claim("a:22") for _ in range(3)]
    slots.limit = 3
    assert all(ready(reservations))


def test_the_queue_is_bounded() -> None:
    slots = Slots("eice-1", limit=1)
    for _ in range(QUEUE + 1):
        slots.claim("a:22")
    with pytest.raises(ThrottledError, match=f"{QUEUE} connections are already waiting"):
        slots.claim("a:22")


def test_errors_say_whose_the_places_are() -> None:
    slots = Slots("eice-1")
    for label in ("web-1:22", "web-1:22", "win-1:3389"):
        slots.claim(label).opened()
    last = slots.claim("web-2:22")
    last.refused()
    error = last.timed_out(30, ThrottledError("the endpoint takes no more", hint="wait", request_id="r-1"))
    assert error.message.startswith("the endpoint takes no more, even after 30 s; this process")
    assert error.message.endswith("2 to web-1:22, 1 to win-1:3389")
    assert error.request_id == "r-1"
    assert error.hint == "wait"
    none = Slots("eice-2")
    alone = none.claim("web-1:22")
    alone.refused()
    assert alone.timed_out(30, ThrottledError("It has no room.")).message == "It has no room, even after 30 s"
    full = Slots("eice-1")
    for _ in range(LIMIT):
        full.claim("web-1:22").opened()
    error = full.claim("web-2:22").timed_out(30, ThrottledError("the endpoint takes no more", hint="wait"))
    assert "accepts 20 connections" in (error.hint or "")


def test_all_of_a_process_share_an_endpoints_places() -> None:
    assert slots_of("eice-shared") is slots_of("eice-shared")
    assert slots_of("eice-shared") is not slots_of("eice-other")
