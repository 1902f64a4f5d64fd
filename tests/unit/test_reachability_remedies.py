"""Changes: what is called, what takes it back, and the line that a person runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from eicctl.reachability.remedies import (
    AclAllow,
    Change,
    EndpointSetting,
    GroupRule,
    NewEndpoint,
    PeeringRoute,
    command_line,
)
from tests.network import ENDPOINT

KEEPING = replace(ENDPOINT, preserve_client_ip=True)

CHANGES: list[tuple[Change, str, str]] = [
    (
        GroupRule("sg-1", False, 22, peer_group_id="sg-2"),
        "allow TCP 22 from sg-2 on sg-1",
        "aws ec2 authorize-security-group-ingress --group-id sg-1 --protocol tcp --port 22 --source-group sg-2",
    ),
    (
        GroupRule("sg-1", False, 22, cidr="10.0.0.5/32"),
        "allow TCP 22 from 10.0.0.5/32 on sg-1",
        "aws ec2 authorize-security-group-ingress --group-id sg-1 --protocol tcp --port 22 --cidr 10.0.0.5/32",
    ),
    (
        GroupRule("sg-1", False, 22, cidr="fd00::5/128"),
        "allow TCP 22 from fd00::5/128 on sg-1",
        "aws ec2 authorize-security-group-ingress --group-id sg-1 --ip-permissions "
        "'IpProtocol=tcp,FromPort=22,ToPort=22,Ipv6Ranges=[{CidrIpv6=fd00::5/128}]'",
    ),
    (
        GroupRule("sg-1", True, 3389, cidr="10.0.0.5/32"),
        "allow outbound TCP 3389 to 10.0.0.5/32 on sg-1",
        "aws ec2 authorize-security-group-egress --group-id sg-1 --ip-permissions "
        "'IpProtocol=tcp,FromPort=3389,ToPort=3389,IpRanges=[{CidrIp=10.0.0.5/32}]'",
    ),
    (
        AclAllow("acl-1", 90, True, "fd00::/64", (1024, 65535)),
        "allow outbound TCP 1024-65535 to fd00::/64 as entry 90 of acl-1",
        "aws ec2 create-network-acl-entry --network-acl-id acl-1 --rule-number 90 --egress --protocol tcp "
        "--port-range From=1024,To=65535 --ipv6-cidr-block fd00::/64 --rule-action allow",
    ),
    (
        PeeringRoute("rtb-1", "10.2.0.5/32", "pcx-1"),
        "add the route 10.2.0.5/32 via pcx-1 to rtb-1",
        "aws ec2 create-route --route-table-id rtb-1 --destination-cidr-block 10.2.0.5/32 "
        "--vpc-peering-connection-id pcx-1",
    ),
    (
        EndpointSetting(ENDPOINT, "dualstack"),
        "set eice-1 to dualstack",
        "eicctl modify-endpoint eice-1 --ip-address-type dualstack",
    ),
    (
        EndpointSetting(KEEPING, "dualstack"),
        "set eice-1 to dualstack, without client IP preservation",
        "eicctl modify-endpoint eice-1 --ip-address-type dualstack --no-preserve-client-ip",
    ),
    (
        EndpointSetting(KEEPING),
        "turn off client IP preservation on eice-1",
        "eicctl modify-endpoint eice-1 --no-preserve-client-ip",
    ),
    (NewEndpoint("vpc-1"), "create an endpoint in vpc-1", "eicctl create-endpoint --vpc-id vpc-1"),
]


@pytest.mark.parametrize(("change", "summary", "line"), CHANGES, ids=[summary for _, summary, _ in CHANGES])
def test_what_a_person_sees(change: Change, summary: str, line: str) -> None:
    assert change.summary == summary
    assert command_line(change) == line
    assert command_line(change, region="eu-west-1", profile="p") == f"{line} --region eu-west-1 --profile p"


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.Session().get_service_model("ec2")


@pytest.mark.parametrize("change", [change for change, *_ in CHANGES if change.call], ids=lambda each: each.summary)
def test_the_calls_are_as_ec2_has_them(model: Any, change: Change) -> None:
    for call in (change.call, change.undo):
        assert call
        operation = "".join(word.capitalize() for word in call.operation.split("_"))
        validate_parameters(dict(call.parameters), model.operation_model(operation).input_shape)


def test_taking_back_restores_the_setting() -> None:
    undo = EndpointSetting(KEEPING, "dualstack").undo
    assert undo.parameters == {
        "InstanceConnectEndpointId": "eice-1",
        "IpAddressType": "ipv4",
        "PreserveClientIp": True,
    }
