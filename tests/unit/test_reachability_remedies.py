"""Changes: the call of EC2, its undo, and the command line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from eicctl.reachability.remedies import (
    Change,
    acl_entry,
    change_command,
    endpoint_setting,
    group_rule,
    new_endpoint,
    peering_route,
)
from tests.network import ENDPOINT

KEEPING = replace(ENDPOINT, preserve_client_ip=True)

CHANGES: list[tuple[Change, str, str]] = [
    (
        group_rule("sg-1", egress=False, port=22, peer_group_id="sg-2"),
        "allow TCP 22 from sg-2 on sg-1",
        "aws ec2 authorize-security-group-ingress --group-id sg-1 --protocol tcp --port 22 --source-group sg-2",
    ),
    (
        group_rule("sg-1", egress=False, port=22, cidr="10.0.0.5/32"),
        "allow TCP 22 from 10.0.0.5/32 on sg-1",
        "aws ec2 authorize-security-group-ingress --group-id sg-1 --protocol tcp --port 22 --cidr 10.0.0.5/32",
    ),
    (
        group_rule("sg-1", egress=False, port=22, cidr="fd00::5/128"),
        "allow TCP 22 from fd00::5/128 on sg-1",
        "aws ec2 authorize-security-group-ingress --group-id sg-1 --ip-permissions "
        "'IpProtocol=tcp,FromPort=22,ToPort=22,Ipv6Ranges=[{CidrIpv6=fd00::5/128}]'",
    ),
    (
        group_rule("sg-1", egress=True, port=3389, cidr="10.0.0.5/32"),
        "allow outbound TCP 3389 to 10.0.0.5/32 on sg-1",
        "aws ec2 authorize-security-group-egress --group-id sg-1 --ip-permissions "
        "'IpProtocol=tcp,FromPort=3389,ToPort=3389,IpRanges=[{CidrIp=10.0.0.5/32}]'",
    ),
    (
        acl_entry("acl-1", 90, egress=True, cidr="fd00::/64", ports=(1024, 65535)),
        "allow outbound TCP 1024-65535 to fd00::/64 as entry 90 of acl-1",
        "aws ec2 create-network-acl-entry --network-acl-id acl-1 --rule-number 90 --egress --protocol tcp "
        "--port-range From=1024,To=65535 --ipv6-cidr-block fd00::/64 --rule-action allow",
    ),
    (
        peering_route("rtb-1", "10.2.0.5/32", "pcx-1"),
        "add the route 10.2.0.5/32 via pcx-1 to rtb-1",
        "aws ec2 create-route --route-table-id rtb-1 --destination-cidr-block 10.2.0.5/32 "
        "--vpc-peering-connection-id pcx-1",
    ),
    (
        endpoint_setting(ENDPOINT, "dualstack"),
        "set eice-1 to dualstack",
        "eicctl modify-endpoint eice-1 --ip-address-type dualstack",
    ),
    (
        endpoint_setting(KEEPING, "dualstack"),
        "set eice-1 to dualstack, without client IP preservation",
        "eicctl modify-endpoint eice-1 --ip-address-type dualstack --no-preserve-client-ip",
    ),
    (
        endpoint_setting(KEEPING),
        "turn off client IP preservation on eice-1",
        "eicctl modify-endpoint eice-1 --no-preserve-client-ip",
    ),
    (new_endpoint("vpc-1"), "create an endpoint in vpc-1", "eicctl create-endpoint --vpc-id vpc-1"),
]


@pytest.mark.parametrize(("change", "summary", "line"), CHANGES, ids=[summary for _, summary, _ in CHANGES])
def test_what_a_person_sees(change: Change, summary: str, line: str) -> None:
    assert change.summary == summary
    assert change_command(change) == line
    assert change_command(change, region="eu-west-1", profile="p") == f"{line} --region eu-west-1 --profile p"


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.Session().get_service_model("ec2")


@pytest.mark.parametrize(
    "change", [change for change, *_ in CHANGES if change.operation], ids=lambda each: each.summary
)
def test_the_calls_are_as_ec2_has_them(model: Any, change: Change) -> None:
    operations = [change.operation, *([change.undo_operation] if change.is_group_rule else [])]
    for operation in operations:
        name = "".join(word.capitalize() for word in operation.split("_"))
        validate_parameters(dict(change.parameters), model.operation_model(name).input_shape)
