"""What is read of a record, and that nothing in one is fatal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eicctl.audit.correlation import Row
from eicctl.audit.records import EVENT_NAMES, ends_of, event_of, launches_of, time_of
from eicctl.audit.store import EventStore
from tests.trail_records import ENDPOINT, START, end, identity, key, launch, record, tunnel


def test_a_tunnel() -> None:
    event = event_of(tunnel(START, "10.0.1.10", "3389", duration="1800", who="dev/ann"))
    assert event
    assert (event.address, event.port, event.duration, event.endpoint_id) == ("10.0.1.10", 3389, 1800, ENDPOINT)
    assert (event.principal.label, event.principal.session, event.principal.mfa) == ("dev/ann", "ann", True)
    assert event.time == START
    assert event.outcome == "allowed"  # whether it reached its target, no record tells


def test_a_key() -> None:
    event = event_of(key(START, "i-1", "ubuntu", who="ann", mfa=None))
    assert event
    assert (event.instance_id, event.os_user, event.outcome) == ("i-1", "ubuntu", "ok")
    assert (event.principal.label, event.principal.mfa) == ("ann", None)


def test_an_endpoint_change_wherever_its_id_is() -> None:
    asked = {"DeleteInstanceConnectEndpointRequest": {"InstanceConnectEndpointId": ENDPOINT}}
    deleted = event_of(record("DeleteInstanceConnectEndpoint", START, asked))
    answer = {"instanceConnectEndpoint": {"instanceConnectEndpointId": ENDPOINT, "vpcId": "vpc-7"}}
    made = event_of(record("CreateInstanceConnectEndpoint", START, {}, responseElements=answer))
    assert deleted
    assert made
    assert deleted.endpoint_id == made.endpoint_id == ENDPOINT
    assert made.vpc_id == "vpc-7"


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("", "allowed"),
        ("AccessDeniedException", "denied"),
        ("Client.UnauthorizedOperation", "denied"),
        ("SignatureDoesNotMatch", "denied"),
        ("InvalidParameter", "failed"),
        ("Client.DryRunOperation", "dry-run"),
    ],
)
def test_outcomes(code: str, outcome: str) -> None:
    event = event_of(tunnel(START, error=code))
    assert event
    assert event.outcome == outcome


def test_root_and_services_have_names() -> None:
    root = event_of(tunnel(START) | {"userIdentity": {"type": "Root", "arn": "arn:aws:iam::123456789012:root"}})
    service = event_of(tunnel(START) | {"userIdentity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}})
    assert root
    assert service
    assert root.principal.label == "root"
    assert service.principal.label == "ec2.amazonaws.com"


def test_a_federated_session_has_its_issuers_name() -> None:
    who = identity("dev/ann", True)
    who["sessionContext"]["sessionIssuer"] = {"userName": "dev-admin", "arn": "arn:aws:iam::1:role/x/dev-admin"}
    event = event_of(tunnel(START) | {"userIdentity": who})
    assert event
    assert event.principal.label == "dev-admin/ann"


def test_launches() -> None:
    (found,) = launches_of(launch(START, "i-1", "10.0.1.10", "web-1"))
    assert (found.instance_id, found.address, found.name, found.vpc_id) == ("i-1", "10.0.1.10", "web-1", "vpc-1")
    assert not list(launches_of(tunnel(START)))


@pytest.mark.parametrize("text", [None, 5, "", "yesterday", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_no_time(text: object) -> None:
    assert time_of(text) is None
    assert event_of(tunnel(START) | {"eventTime": text}) is None


def test_a_time_with_a_zone() -> None:
    assert time_of("2026-11-02T10:00:00+01:00") == datetime(2026, 11, 2, 9, tzinfo=UTC)


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800\x00\u202e"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FULL = [
    tunnel(START, duration="60", who="dev/ann", error="x"),
    key(START, "i-1"),
    launch(START, "i-1", "10.0.1.10", "web-1"),
    end(START, "i-1"),
    record("CreateInstanceConnectEndpoint", START, {"a": {"InstanceConnectEndpointId": ENDPOINT}}),
]


@st.composite
def odd_records(draw: st.DrawFn) -> Any:
    """A record of which parts, at any depth, are missing or something else."""

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            value = {name: spoilt(item) for name, item in value.items() if draw(st.integers(0, 9))}
        return value if draw(st.integers(0, 5)) else draw(ANYTHING)

    found = spoilt(draw(st.sampled_from(FULL)))
    if isinstance(found, dict) and draw(st.booleans()):
        found |= {"eventName": draw(st.sampled_from(EVENT_NAMES)), "eventTime": "2026-11-02T09:00:00Z"}
    return found


@settings(deadline=None)
@given(odd_records() | ANYTHING)
def test_no_record_is_fatal(found: Any) -> None:
    list(launches_of(found))
    list(ends_of(found))
    event = event_of(found)
    if event is None:
        return
    json.dumps(Row(event).shown(), ensure_ascii=False).encode()
    with EventStore() as store:
        store.add([event])
        assert list(store.events()) == [event]
