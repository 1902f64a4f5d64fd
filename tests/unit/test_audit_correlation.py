"""Tunnels get their instances and keys, and only where that is certain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from eicctl.audit.correlation import AddressHolder, Directory, KnownEndpoint, Row, joined
from eicctl.audit.records import Event, ends_of, event_of, launches_of
from tests.trail_records import ENDPOINT, START, Record, end, key, launch, record, tunnel


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def rows(records: Sequence[Record], directory: Directory | None = None) -> list[Row]:
    """The rows of records, which may be in any order."""
    events = [event for found in records if (event := event_of(found))]
    return list(joined(sorted(events, key=lambda event: event.time), directory or Directory()))


WEB = AddressHolder("i-web", "10.0.1.10", "web-1", "vpc-1")


def test_an_address_tells_the_instance() -> None:
    (row,) = rows([tunnel(START, "10.0.1.10")], Directory([WEB]))
    assert (row.instance_id, row.instance_name, row.evidence) == ("i-web", "web-1", "address")


def test_a_key_belongs_to_the_tunnel_to_its_instance() -> None:
    records = [key(START, "i-app", "ubuntu"), key(START + seconds(1), "i-web"), tunnel(START + seconds(2), "10.0.1.10")]
    other, row = rows(records, Directory([WEB]))
    assert (other.event.name, other.instance_id, other.evidence) == ("SendSSHPublicKey", "i-app", "record")
    assert (row.os_user, row.key_event_id) == ("ec2-user", records[1]["eventID"])


def test_a_key_that_comes_just_after_its_tunnel() -> None:
    (row,) = rows([tunnel(START), key(START + seconds(3), "i-web")], Directory([WEB]))
    assert row.os_user == "ec2-user"


def test_one_key_serves_several_tunnels() -> None:
    found = rows([key(START, "i-web"), tunnel(START + seconds(1)), tunnel(START + seconds(55))], Directory([WEB]))
    assert [row.os_user for row in found] == ["ec2-user", "ec2-user"]


def test_a_key_tells_the_instance_where_the_address_does_not() -> None:
    (row,) = rows([key(START, "i-gone"), tunnel(START + seconds(1), "10.0.1.99")])
    assert (row.instance_id, row.evidence) == ("i-gone", "key")


def test_keys_to_two_instances_tell_nothing() -> None:
    records = [key(START, "i-1"), key(START + seconds(1), "i-2"), tunnel(START + seconds(2), "10.0.1.99")]
    found = rows(records)
    assert [row.instance_id for row in found] == ["i-1", "i-2", ""]
    assert found[2].os_user == ""


def test_keys_of_others_old_ones_and_refused_ones_do_not_count() -> None:
    late = START + seconds(100)
    records = [
        key(START, "i-gone"),
        key(late, "i-gone", who="ops/eve"),
        key(late, "i-gone", error="AuthException"),
        tunnel(late + seconds(1), "10.0.1.99"),
    ]
    assert [row.instance_id for row in rows(records)][-1] == ""
    assert len(rows(records)) == 4


def test_an_address_counts_from_when_its_instance_got_it() -> None:
    holder = AddressHolder("i-new", "10.0.1.10", "new", "vpc-1", since=START + timedelta(days=1))
    old, new = rows([tunnel(START), tunnel(START + timedelta(days=2))], Directory([holder]))
    assert old.instance_id == ""
    assert new.instance_id == "i-new"


def test_the_latest_launch_before_the_tunnel_counts() -> None:
    directory = Directory()
    for day, name in ((0, "first"), (2, "second"), (4, "third")):
        directory.learn(launches_of(launch(START + timedelta(days=day), f"i-{name}", "10.0.1.10", name)))
    (row,) = rows([tunnel(START + timedelta(days=3))], directory)
    assert (row.instance_name, row.evidence) == ("second", "launch")


def test_an_instance_that_has_ended_has_its_address_no_more() -> None:
    directory = Directory()
    directory.learn(launches_of(launch(START, "i-1", "10.0.1.10", "short-lived")))
    directory.learn(ends_of(end(START + timedelta(days=2), "i-1")))
    before, after = rows([tunnel(START + timedelta(days=1)), tunnel(START + timedelta(days=3))], directory)
    assert before.instance_name == "short-lived"
    assert after.instance_id == ""


def test_the_same_address_in_two_vpcs() -> None:
    holders = [WEB, AddressHolder("i-twin", "10.0.1.10", "twin", "vpc-2")]
    (unsure,) = rows([tunnel(START)], Directory(holders))
    (sure,) = rows([tunnel(START)], Directory(holders, [KnownEndpoint(ENDPOINT, "office", "vpc-2")]))
    assert unsure.instance_id == ""
    assert (sure.instance_name, sure.endpoint_name) == ("twin", "office")


def test_a_deleted_endpoint_has_the_vpc_that_its_record_tells() -> None:
    holders = [WEB, AddressHolder("i-twin", "10.0.1.10", "twin", "vpc-2")]
    answer = {"instanceConnectEndpoint": {"instanceConnectEndpointId": ENDPOINT, "vpcId": "vpc-2"}}
    made = record("CreateInstanceConnectEndpoint", START - seconds(500), {}, responseElements=answer)
    assert rows([made, tunnel(START)], Directory(holders))[1].instance_name == "twin"


def test_another_region_is_another_address() -> None:
    directory = Directory([AddressHolder("i-web", "10.0.1.10", region="eu-central-1")])
    (row,) = rows([tunnel(START)], directory)
    assert row.instance_id == ""


EVENTS = st.lists(
    st.tuples(st.sampled_from(["key", "tunnel", "change"]), st.integers(0, 300), st.sampled_from(["a", "b"])),
    max_size=25,
)


@settings(deadline=None)
@given(EVENTS)
def test_no_tunnel_is_lost_and_order_is_kept(parts: list[tuple[str, int, str]]) -> None:
    events: list[Event] = []
    for kind, second, who in parts:
        time = START + seconds(second)
        if kind == "key":
            found = event_of(key(time, f"i-{who}", who=f"dev/{who}"))
        elif kind == "tunnel":
            found = event_of(tunnel(time, who=f"dev/{who}"))
        else:
            found = event_of(record("DeleteInstanceConnectEndpoint", time, {}))
        assert found
        events.append(found)
    events.sort(key=lambda event: event.time)
    out = list(joined(events, Directory([AddressHolder("i-a", "10.0.1.10")])))
    kept = {row.event.id for row in out}
    used = {row.key_event_id for row in out if row.key_event_id}
    assert {event.id for event in events} == kept | used
    assert not kept & used
    assert [row.event.time for row in out] == sorted(row.event.time for row in out)
