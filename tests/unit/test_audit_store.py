"""Events, each once and in order; spans of time that are complete."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eicctl.audit.records import End, event_of, launches_of
from eicctl.audit.store import EventStore
from eicctl.core.errors import LocalError
from tests.trail_records import START, key, launch, tunnel


def test_each_once_and_in_order() -> None:
    found = [event_of(tunnel(START + timedelta(minutes=minutes))) for minutes in (3, 1, 2)]
    events = [event for event in found if event]
    with EventStore() as store:
        store.add(events)
        store.add([*events, events[0]._replace(id="new")])
        assert len(store) == 4
        assert [event.time.minute for event in store.events()] == [1, 2, 3, 3]
        begins = START + timedelta(minutes=2)
        assert [event.time.minute for event in store.events(begins, begins + timedelta(minutes=1))] == [2]
        assert store.bounds() == (START + timedelta(minutes=1), START + timedelta(minutes=3))


def test_an_event_comes_back_as_it_was() -> None:
    event = event_of(key(START, "i-1", who="dev/ann", mfa=None, error="AuthException"))
    assert event
    with EventStore() as store:
        store.add([event])
        assert list(store.events()) == [event]


def test_only_launches_whose_address_is_asked_for() -> None:
    event = event_of(tunnel(START, "10.0.1.10"))
    assert event
    with EventStore() as store:
        store.add([event])
        for number in (10, 11):
            store.add_lives(launches_of(launch(START, f"i-{number}", f"10.0.1.{number}")))
        store.add_lives([End("i-10", START), End("i-12", START)])
        assert [found.instance_id for found in store.lives()] == ["i-10", "i-10"]
        assert store.addresses() == {("us-east-1", "10.0.1.10")}


def test_a_file_keeps_what_is_in_it_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    event = event_of(tunnel(START))
    assert event
    with EventStore(path) as store:
        store.add([event])
    assert path.stat().st_mode & 0o077 == 0
    with EventStore(path) as store:
        assert list(store.events()) == [event]
        store.discard()
    assert not path.exists()


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"no database" * 200)
    with pytest.raises(LocalError):
        EventStore(path)


def test_a_file_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "old"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (id TEXT UNIQUE, time REAL, region TEXT, address TEXT, body TEXT)")
    with pytest.raises(LocalError):
        EventStore(path)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=8))
def test_what_is_missing_is_what_no_span_covers(pairs: list[tuple[int, int]]) -> None:
    spans = [(min(pair), max(pair)) for pair in pairs]
    with EventStore() as store:
        for low, high in spans:
            store.complete("r", "OpenTunnel", (START + timedelta(hours=low), START + timedelta(hours=high)))
        gaps = store.missing("r", "OpenTunnel", (START, START + timedelta(hours=100)))
        other = store.missing("r", "Other", (START, START + timedelta(hours=100)))
    hours = [((low - START) / timedelta(hours=1), (high - START) / timedelta(hours=1)) for low, high in gaps]
    for half in range(100):
        covered = any(low <= half and half + 1 <= high for low, high in _merged(spans))
        missing = any(low <= half + 0.5 <= high for low, high in hours)
        assert covered != missing
    assert other == [(START, START + timedelta(hours=100))]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found
