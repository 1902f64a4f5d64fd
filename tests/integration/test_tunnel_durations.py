"""A policy that wants a duration: one is found, sent, remembered, and forgotten when it is bad."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from eicctl.core.errors import DeniedError
from eicctl.core.model import Credentials, Target
from eicctl.emulator.server import Emulator
from eicctl.tunnel.dial import Dialer, Link
from eicctl.tunnel.durations import memory_file
from tests.integration.test_emulator_policies import OPEN, allow, user_with


def limited(seconds: int) -> dict[str, Any]:
    return allow(OPEN, NumericLessThanEquals={"ec2-instance-connect:maxTunnelDuration": str(seconds)})


def dialer(keys: Any, endpoint: dict[str, Any], emulator: Emulator) -> Dialer:
    credentials = Credentials(*keys.values())
    target = Target("10.0.1.10", 22, endpoint["InstanceConnectEndpointId"], endpoint["DnsName"], "us-east-1")
    return Dialer(target, lambda: credentials, emulator.env["AWS_CA_BUNDLE"])


def opened(link: Link) -> int:
    link.stream.close()
    return link.max_duration


def dials(emulator: Emulator) -> list[str]:
    """The durations that were asked for, oldest first."""
    tunnels = [event for event in emulator.state.events() if event["eventName"] == "OpenTunnel"]
    return [event["requestParameters"].get("maxTunnelDuration", "none") for event in tunnels]


@pytest.mark.parametrize(("limit", "found"), [(3600, 3600), (1000, 900), (60, 60)])
def test_a_good_duration_is_found_and_sent_at_once_the_next_time(
    emulator: Emulator, endpoint: dict[str, Any], limit: int, found: int
) -> None:
    keys = user_with("ann", limited(limit))
    assert opened(dialer(keys, endpoint, emulator).open()) == found
    before = len(dials(emulator))
    assert opened(dialer(keys, endpoint, emulator).open()) == found
    assert dials(emulator)[before:] == [str(found)]
    assert memory_file().stat().st_mode & 0o077 == 0
    assert keys["aws_access_key_id"] not in memory_file().read_text()


def test_a_denial_for_another_reason_costs_one_more_dial(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    keys = user_with("ann", allow("ec2:Describe*"))
    with pytest.raises(DeniedError):
        dialer(keys, endpoint, emulator).open()
    assert dials(emulator) == ["none", "60"]
    assert not memory_file().exists()


def test_who_has_no_limit_sends_no_duration(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    assert opened(dialer(user_with("ann", allow(OPEN)), endpoint, emulator).open()) == 3600
    assert dials(emulator) == ["none"]


def test_a_duration_that_is_no_longer_good_is_replaced(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    keys = user_with("ann", limited(900))
    assert opened(dialer(keys, endpoint, emulator).open()) == 900
    put = boto3.client("iam").put_user_policy
    for statement, expected in ((limited(300), 300), (allow(OPEN), 300)):
        put(
            UserName="ann", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement})
        )
        assert opened(dialer(keys, endpoint, emulator).open()) == expected


def test_a_duration_that_a_policy_forbids_is_forgotten(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    keys = user_with("ann", limited(900))
    assert opened(dialer(keys, endpoint, emulator).open()) == 900
    none = allow(OPEN, Null={"ec2-instance-connect:maxTunnelDuration": "true"})
    document = json.dumps({"Version": "2012-10-17", "Statement": none})
    boto3.client("iam").put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document)
    assert opened(dialer(keys, endpoint, emulator).open()) == 3600
    assert json.loads(memory_file().read_text()) == {}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"x": "y"}'])
def test_a_file_that_makes_no_sense_is_as_good_as_none(emulator: Emulator, endpoint: dict[str, Any], text: str) -> None:
    memory_file().write_text(text)
    assert opened(dialer(user_with("ann", limited(300)), endpoint, emulator).open()) == 300


def test_a_duration_that_the_user_gives_is_the_one_that_counts(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    asked = dialer(user_with("ann", limited(300)), endpoint, emulator)
    asked.max_tunnel_duration = 600
    with pytest.raises(DeniedError):
        asked.open()
    assert dials(emulator) == ["600"]
