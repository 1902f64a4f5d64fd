"""The table of named tunnels fits its terminal, and never cuts a name, a state or an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.named_tunnels.status import Status
from eicctl.view.named_tunnels import fitting, row, shown, troubles

LONG = Status(
    "orders",
    "db",
    "/p/eicctl.toml",
    "open",
    local=("127.0.0.1:15432", "[::1]:15432"),
    remote="demo-db.aaaaaaaaaa.us-east-1.rds.amazonaws.com:5432",
    via="eice-0123456789abcdef0",
    connections=3,
    total=12,
    bytes_in=1_234_567,
    bytes_out=999,
    rate_in=2_500.0,
    seconds_left=61.5,
)


def test_a_row_says_what_people_read() -> None:
    found = shown(LONG)
    assert found["Connections"] == "3 of 12"
    assert (found["In"], found["Out"], found["Rate"], found["Left"]) == ("1.2 MB", "999 B", "2.5 kB/s", "1:01")


def test_a_row_of_json_has_the_port_and_no_empty_error() -> None:
    found = row(LONG, 42)
    assert (found["LocalPort"], found["Error"], found["Pid"]) == (15432, None, 42)
    assert row(Status("a", "direct", "", "open", local=("/run/a.sock",)))["LocalPort"] is None


@given(width=st.integers(50, 250))
def test_it_fits_where_names_states_and_addresses_do(width: int) -> None:
    rows = [shown(LONG)]
    sizes = fitting(rows, width)
    assert sum(sizes.values()) + 2 * (len(sizes) - 1) <= width
    for key in ("Name", "State", "Local"):
        assert sizes[key] >= len(rows[0][key])


@pytest.mark.parametrize("width", [200, 250])
def test_nothing_is_cut_where_there_is_room(width: int) -> None:
    sizes = fitting([shown(LONG)], width)
    assert all(sizes[key] >= len(text) for key, text in shown(LONG).items())


def test_a_tunnel_of_which_nothing_is_known_yet_has_a_table_too() -> None:
    rows = [shown(Status("a", "direct", "", "opening"))]
    assert set(fitting(rows, 80)) >= {"Name", "State", "Local"}


def test_troubles_have_their_hints() -> None:
    status = Status("a", "direct", "", "retrying", error="it is not there", hint="look elsewhere")
    assert troubles([status, LONG]) == ["a: it is not there", "a: hint: look elsewhere"]
