"""Pauses grow up to the longest, are partly left to chance, and begin anew after a success."""

from __future__ import annotations

from eicctl.support.backoff import Backoff


def test_pauses_grow_up_to_the_longest_with_jitter() -> None:
    backoff = Backoff(1.0, 5.0)
    for longest in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert longest / 2 <= backoff.pause() <= longest
    backoff.reset()
    assert 0.5 <= backoff.pause() <= 1.0


def test_growth_and_jitter_can_be_chosen() -> None:
    backoff = Backoff(1.0, 10.0, growth=1.5, jitter=0.0)
    assert [backoff.pause() for _ in range(3)] == [1.0, 1.5, 2.25]
