"""Log files: pieces, gzip, what is cut off or makes no sense."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eicctl.audit import log_files
from eicctl.audit.filters import Choice
from eicctl.audit.log_files import DamagedError, Reader, records_in
from eicctl.audit.store import EventStore
from tests.trail_records import START, launch, tunnel


class Dribble(io.BytesIO):
    """A source that gives a few bytes at a time, as a socket may."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._size if size is None or size < 0 else min(size, self._size))


def read_on(source: io.BytesIO) -> tuple[list[Any], str]:
    """The records up to the damage, and what the damage is."""
    found: list[Any] = []
    try:
        found.extend(records_in(source))
    except DamagedError as error:
        return found, str(error)
    return found, ""


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5)


@settings(deadline=None)
@given(RECORDS, st.integers(1, 40), st.booleans(), st.sampled_from([None, 2]), st.booleans())
def test_any_records_in_any_pieces(
    records: list[Any], size: int, packed: bool, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps({"Records": records}, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    data = gzip.compress(text) if packed else text
    assert list(records_in(Dribble(data, size))) == json.loads(text.decode("utf-8", "replace"))["Records"]


@settings(deadline=None)
@given(RECORDS.filter(bool), st.data())
def test_any_cut_gives_what_is_whole(records: list[Any], data: st.DataObject) -> None:
    text = json.dumps({"Records": records}).encode()
    cut = data.draw(st.integers(0, len(text) - 3))
    found, damaged = read_on(Dribble(text[:cut], 7))
    assert damaged or not cut
    assert found == records[: len(found)]


def test_several_gzip_members_are_one_file() -> None:
    data = gzip.compress(b'{"Records": [{"a": 1},') + gzip.compress(b' {"a": 2}]}')
    assert list(records_in(Dribble(data, 5))) == [{"a": 1}, {"a": 2}]


def test_a_cut_gzip_file_gives_what_is_whole() -> None:
    text = json.dumps({"Records": [{"n": n, "text": f"{n * 7919:x}" * 20} for n in range(5_000)]}).encode()
    found, damaged = read_on(io.BytesIO(gzip.compress(text)[:-2_000]))
    assert damaged == "it is cut off"
    assert [record["n"] for record in found] == list(range(len(found)))
    assert len(found) > 1_000


def test_what_lookup_events_prints() -> None:
    inner = json.dumps({"eventName": "OpenTunnel"})
    text = json.dumps({"Events": [{"EventId": "1", "CloudTrailEvent": inner}, {"CloudTrailEvent": "{"}]})
    assert list(records_in(io.BytesIO(text.encode()))) == [{"eventName": "OpenTunnel"}, None]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"Records": [{"a": 1}, {"a": oops}]}', "a record is invalid"),
        (b'{"Records": [{"a": 1} ', "cut off"),
        (b'{"Something": 1}', "Records"),
        (b"\x00\x01\x02", "Records"),
        (b"\x1f\x8bnonsense", "gzip"),
        (b'{"Records": [' + b"[" * 200_000, "deep"),
    ],
)
def test_damaged_files(data: bytes, why: str) -> None:
    with pytest.raises(DamagedError, match=why):
        list(records_in(io.BytesIO(data)))


def test_a_record_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "LONGEST_RECORD", 100_000)
    endless = io.BytesIO(b'{"Records": [{"a": "' + b"x" * 3_000_000)
    with pytest.raises(DamagedError):
        list(records_in(endless))
    assert endless.tell() < 3_000_000


def test_records_from_elsewhere() -> None:
    records: list[Any] = [
        tunnel(START),
        tunnel(START, error="AccessDeniedException"),
        {"eventName": "Other"},
        None,
        ["x"],
    ]
    records += [launch(START, "i-1", "10.0.1.10"), {**records[0]}, {"eventName": ["OpenTunnel"]}]
    with EventStore() as store:
        reader = Reader(store, Choice(denied=True), print, print)
        assert reader.add(iter(records)).records == len(records)
        assert [event.outcome for event in store.events()].count("denied") == 1
        assert len(store) == len(list(store.events())) == 2
        assert [life.instance_id for life in store.lives()] == ["i-1"]


def test_nothing_in_it() -> None:
    assert not list(records_in(io.BytesIO(b'{"Records": []}')))
    assert not list(records_in(io.BytesIO(b"")))
