"""`eicctl instances`: which ones, of which regions, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran

Eicctl = Callable[..., Ran]


def listed(eicctl: Eicctl, *words: str) -> list[dict[str, Any]]:
    done = eicctl("instances", "--output", "json", *words)
    assert done.code == 0, done.err
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["Name"] for row in rows]


@pytest.fixture
def other_vpc(ec2: Any) -> str:
    """A VPC with one instance, and the tag `Role=db`; it has no endpoint."""
    vpc = str(ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "other"}])
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    tags = [{"Key": "Name", "Value": "web-9"}, {"Key": "Role", "Value": "db"}]
    ec2.run_instances(
        ImageId="ami-12345678",
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return vpc


def test_what_is_told(eicctl: Eicctl, ec2: Any, other_vpc: str) -> None:
    (subnet, *_) = [row["SubnetId"] for row in listed(eicctl, "--name", "web-1")]
    assert eicctl("create-endpoint", "--subnet-id", subnet, "--name", "office", "--wait").code == 0
    there, here = listed(eicctl, "--name", "web-9")[0], listed(eicctl, "--name", "web-1")[0]
    assert {key: there[key] for key in ("InstanceType", "VpcId", "VpcName", "EndpointName", "Region")} == {
        "InstanceType": "m5.large",
        "VpcId": other_vpc,
        "VpcName": "other",
        "EndpointName": None,
        "Region": "us-east-1",
    }
    assert (here["EndpointName"], here["VpcName"]) == ("office", "demo")
    table = eicctl("instances", "--name", "web-*").out.splitlines()
    assert table[0].split() == ["Name", "ID", "State", "Type", "Platform", "Address", "AZ", "VPC", "Endpoint"]
    assert [line.split()[-1] for line in table[1:]] == ["office", "other"]
    assert not eicctl("instances", "--no-header").out.startswith("Name")


def test_which_ones(eicctl: Eicctl, ec2: Any, other_vpc: str) -> None:
    everything = ["app-1", "web-1", "web-9", "win-1"]
    assert names(listed(eicctl)) == everything
    assert names(listed(eicctl, "--name", "web-*")) == ["web-1", "web-9"]
    assert names(listed(eicctl, "--name", "web-9", "--name", "app-?")) == ["app-1", "web-9"]
    assert names(listed(eicctl, "--vpc", "other")) == names(listed(eicctl, "--vpc-id", other_vpc)) == ["web-9"]
    assert names(listed(eicctl, "--vpc", "other", "--vpc", "demo")) == everything
    assert names(listed(eicctl, "--tag", "Role=db")) == ["web-9"]
    assert names(listed(eicctl, "--state", "stopped")) == []
    nothing = eicctl("instances", "--vpc", "nowhere")
    assert (nothing.code, nothing.out) == (0, "")
    assert "No matching instances in us-east-1" in nothing.err


def test_all_regions(eicctl: Eicctl, emulator: Emulator) -> None:
    assert names(listed(eicctl, "--all-regions")) == ["app-1", "web-1", "win-1"]
    assert eicctl("instances", "--all-regions").out.splitlines()[0].split()[0] == "Region"
    emulator.state.behave(denied="eu-west-1:DescribeInstances DescribeVpcs")
    some = eicctl("instances", "--all-regions", "--output", "json")
    assert some.code == 1
    assert "eu-west-1: " in some.err
    assert {row["VpcName"] for row in json.loads(some.out)} == {""}  # whose names the caller may not see
