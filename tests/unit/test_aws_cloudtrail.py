"""Calls go one by one, with a pause between two."""

from __future__ import annotations

from eicctl.aws.cloudtrail import Pace


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_calls_keep_their_distance() -> None:
    clock = Clock()
    pace = Pace(0.5, clock=clock.now, sleep=clock.sleep)
    turns = []
    for _ in range(4):
        pace.wait()
        turns.append(clock.time)
    assert turns == [100.0, 100.5, 101.0, 101.5]


def test_who_comes_late_does_not_wait() -> None:
    clock = Clock()
    pace = Pace(0.5, clock=clock.now, sleep=clock.sleep)
    pace.wait()
    clock.time += 10
    pace.wait()
    assert clock.time == 110.0


def test_a_pause_holds_for_all() -> None:
    clock = Clock()
    pace = Pace(0.5, clock=clock.now, sleep=clock.sleep)
    pace.hold(8)
    pace.wait()
    assert clock.time == 108.0
