"""World files made in EC2 and RDS: other regions, IPv6, many machines, what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from eicctl.core.errors import UsageError
from eicctl.emulator.control.network import blocked
from eicctl.emulator.server import Emulator
from eicctl.emulator.state import EndpointRecord, Machine
from eicctl.emulator.world import load_world
from tests.integration.conftest import Ran

WORLD = """
[[image]]
key = "debian"
name = "debian-12-amd64-20260301"
owner = "136693071363"
users = ["admin"]

[[vpc]]
name = "far"
region = "eu-central-1"
cidr = "10.9.0.0/16"
ipv6_cidr = "fd00:9::/56"

[[vpc.subnet]]
name = "private"
cidr = "10.9.1.0/24"
ipv6_cidr = "fd00:9::/64"
availability_zone = "eu-central-1b"

[[vpc.group]]
name = "open"
ingress = ["22 from 10.9.0.0/16", "22 from fd00:9::/56"]

[[vpc.group]]
name = "from-endpoint"
ingress = ["22 from endpoint"]

[[vpc.group]]
name = "endpoint"
egress = ["20-30 to from-endpoint"]

[[vpc.instance]]
name = "node"
address = "10.9.1.10"
ipv6_address = "fd00:9::10"
count = 10
groups = ["open"]

[[vpc.instance]]
name = "old"
address = "10.9.1.50"
groups = ["from-endpoint"]
users = ["root"]
ec2_instance_connect = false
tags = { Role = "legacy" }

[[vpc.instance]]
name = "off"
address = "10.9.1.51"
groups = ["open"]
state = "stopped"

[[vpc.instance]]
name = "gone"
address = "10.9.1.52"
state = "terminated"

[[vpc]]
name = "near"
cidr = "10.10.0.0/16"

[[vpc.subnet]]
name = "other"
cidr = "10.10.1.0/24"

[[vpc.database]]
id = "orders"
engine = "mysql"
port = 3306
address = "10.10.1.9"
forward = "localhost:13306"
"""


@pytest.fixture
def world(emulator: Emulator, tmp_path: Path) -> Iterator[Emulator]:
    path = tmp_path / "world.toml"
    path.write_text(WORLD)
    load_world(emulator.state, path)
    yield emulator
    emulator.reset()


SIX = """
[[image]]
key = "debian"
name = "debian-12-amd64-20260301"
users = ["admin"]

[[vpc]]
cidr = "10.9.0.0/16"
ipv6_cidr = "fd00:9::/56"

[[vpc.subnet]]
name = "six"
ipv6_cidr = "fd00:9:0:6::/64"

[[vpc.group]]
name = "open"
ingress = ["22 from ::/0"]

[[vpc.instance]]
name = "six"
ipv6_address = "fd00:9:0:6::10"
count = 2
groups = ["open"]
"""


def test_instances_with_ipv6_only(emulator: Emulator, tmp_path: Path, eicctl: Callable[..., Ran]) -> None:
    """They have no IPv4 address in any answer, and are reached at their other one."""
    path = tmp_path / "world.toml"
    path.write_text(SIX)
    load_world(emulator.state, path)
    ec2 = boto3.client("ec2")
    (subnet,) = ec2.describe_subnets()["Subnets"]
    assert subnet["Ipv6Native"]
    assert not subnet.get("CidrBlock")
    found = instances(ec2)
    assert [found[name]["Ipv6Address"] for name in ("six-1", "six-2")] == ["fd00:9:0:6::10", "fd00:9:0:6::11"]
    assert not any(
        "PrivateIpAddress" in row or "PrivateIpAddress" in row["NetworkInterfaces"][0] for row in found.values()
    )
    assert found["six-1"]["PrivateDnsName"] == f"{found['six-1']['InstanceId']}.ec2.internal"
    assert "fd00:9:0:6::10" in eicctl("instances").out
    assert eicctl("create-endpoint", "--subnet-id", subnet["SubnetId"], "--wait").code == 0
    done = eicctl("doctor", "six-1")
    assert (done.code, "six-1 responded (SSH-2.0" in " ".join(done.out.split())) == (0, True)
    emulator.reset()


@pytest.fixture
def far(world: Emulator) -> Any:
    return boto3.client("ec2", "eu-central-1")


def instances(ec2: Any, **parameters: Any) -> dict[str, dict[str, Any]]:
    pages = ec2.describe_instances(**parameters)["Reservations"]
    found = [row for group in pages for row in group["Instances"]]
    return {next(tag["Value"] for tag in row["Tags"] if tag["Key"] == "Name"): row for row in found}


def machine(world: Emulator, address: str) -> Machine:
    return next(machine for machine in world.state.machines() if machine.address == address)


def endpoint(world: Emulator, far: Any, **parameters: Any) -> EndpointRecord:
    subnet = far.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["private"]}])["Subnets"][0]["SubnetId"]
    far.create_instance_connect_endpoint(SubnetId=subnet, **parameters)
    (made,) = world.state.endpoints()
    return made


def group_id(far: Any, name: str) -> str:
    filters = [{"Name": "group-name", "Values": [name]}]
    vpc = [row["VpcId"] for row in far.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["far"]}])["Vpcs"]]
    rows = far.describe_security_groups(Filters=[*filters, {"Name": "vpc-id", "Values": vpc}])["SecurityGroups"]
    return str(rows[0]["GroupId"])


def test_what_there_is(far: Any) -> None:
    found = instances(far)
    assert set(found) == {f"node-{number}" for number in range(1, 11)} | {"old", "off", "gone"}
    assert found["node-10"]["PrivateIpAddress"] == "10.9.1.19"
    assert found["node-10"]["NetworkInterfaces"][0]["Ipv6Addresses"][0]["Ipv6Address"] == "fd00:9::19"
    assert found["node-1"]["PrivateDnsName"] == "ip-10-9-1-10.eu-central-1.compute.internal"
    assert found["node-1"]["Placement"]["AvailabilityZone"] == "eu-central-1b"
    assert (found["off"]["State"]["Name"], found["gone"]["State"]["Name"]) == ("stopped", "terminated")
    assert {"Key": "Role", "Value": "legacy"} in found["old"]["Tags"]
    (vpc,) = far.describe_vpcs()["Vpcs"]
    assert [row["Ipv6CidrBlock"] for row in vpc["Ipv6CidrBlockAssociationSet"]] == ["fd00:9::/56"]


def test_machines_match_the_file(world: Emulator) -> None:
    old, node = machine(world, "10.9.1.50"), machine(world, "10.9.1.10")
    assert (old.users, old.ec2_instance_connect) == (("root",), False)
    assert (node.users, node.ec2_instance_connect) == (("admin",), True)
    assert machine(world, "fd00:9::10").host_key == node.host_key
    assert len({found.host_key for found in world.state.machines()}) == 14  # of 13 instances, and none of the database
    assert machine(world, "10.10.1.9").forwards == ((3306, "localhost:13306"),)


@pytest.mark.parametrize("name", ["ipv6-address", "network-interface.ipv6-addresses.ipv6-address"])
def test_instances_by_ipv6_address(far: Any, name: str) -> None:
    assert set(instances(far, Filters=[{"Name": name, "Values": ["fd00:9::12"]}])) == {"node-3"}


def test_a_database_in_another_region(world: Emulator) -> None:
    (database,) = boto3.client("rds", "us-east-1").describe_db_instances()["DBInstances"]
    assert (database["Engine"], database["Endpoint"]["Port"]) == ("mysql", 3306)
    assert [row["SubnetIdentifier"] for row in database["DBSubnetGroup"]["Subnets"]] == [
        row["SubnetId"] for row in boto3.client("ec2", "us-east-1").describe_subnets()["Subnets"]
    ]


def test_a_key_without_the_package_has_no_effect(far: Any, world: Emulator) -> None:
    old = instances(far)["old"]["InstanceId"]
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k"
    answer = boto3.client("ec2-instance-connect", "eu-central-1").send_ssh_public_key(
        InstanceId=old, InstanceOSUser="root", SSHPublicKey=key
    )
    assert answer["Success"] is True
    assert world.state.keys(old, "root") == []


def test_by_address_range(far: Any, world: Emulator) -> None:
    made = endpoint(world, far)
    assert blocked(made, machine(world, "10.9.1.10"), 22, "203.0.113.9") is None
    assert "inbound" in str(blocked(made, machine(world, "10.9.1.10"), 3389, "203.0.113.9"))


def test_with_the_clients_address_preserved(far: Any, world: Emulator) -> None:
    made = endpoint(world, far, PreserveClientIp=True, IpAddressType="ipv4")
    assert "inbound" in str(blocked(made, machine(world, "10.9.1.10"), 22, "203.0.113.9"))
    assert blocked(made, machine(world, "10.9.1.10"), 22, "10.9.200.1") is None


def test_by_group_with_both_kinds_of_endpoint(far: Any, world: Emulator) -> None:
    made = endpoint(
        world, far, SecurityGroupIds=[group_id(far, "endpoint")], PreserveClientIp=True, IpAddressType="ipv4"
    )
    assert blocked(made, machine(world, "10.9.1.50"), 22, "203.0.113.9") is None
    assert "outbound" in str(blocked(made, machine(world, "10.9.1.10"), 22, "203.0.113.9"))


def test_over_ipv6(far: Any, world: Emulator) -> None:
    made = endpoint(world, far, IpAddressType="dualstack")
    assert blocked(made, machine(world, "fd00:9::10"), 22, "203.0.113.9") is None


@pytest.mark.parametrize("address", ["10.9.1.51", "10.9.1.52"])
def test_what_does_not_run_cannot_be_reached(far: Any, world: Emulator, address: str) -> None:
    assert "is not running" in str(blocked(endpoint(world, far), machine(world, address), 22, "203.0.113.9"))


def test_groups_that_change_are_seen(far: Any, world: Emulator) -> None:
    made = endpoint(world, far)
    node = instances(far)["node-1"]["InstanceId"]
    far.modify_instance_attribute(InstanceId=node, Groups=[group_id(far, "from-endpoint")])
    assert "inbound" in str(blocked(made, machine(world, "10.9.1.10"), 22, "203.0.113.9"))
    far.stop_instances(InstanceIds=[node])
    assert "is not running" in str(blocked(made, machine(world, "10.9.1.10"), 22, "203.0.113.9"))
    far.start_instances(InstanceIds=[node])
    far.modify_instance_attribute(InstanceId=node, Groups=[group_id(far, "open")])
    assert blocked(made, machine(world, "10.9.1.10"), 22, "203.0.113.9") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("eu-central-1b", "eu-central-1z", "vpc[0].subnet[0].availability_zone: 'eu-central-1z' is not one of"),
        ('"eu-central-1"', '"moon-1"', "vpc[0].region: moon-1 is not an AWS region"),
        ("[[image]]", "[[image]", "is not TOML"),
    ],
)
def test_worlds_that_cannot_be(emulator: Emulator, tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(WORLD.replace(old, new, 1))
    before = emulator.state.machines()
    with pytest.raises(UsageError) as wrong:
        load_world(emulator.state, path)
    assert message in wrong.value.message
    assert str(path) in wrong.value.message
    assert emulator.state.machines() == before


def test_a_missing_world_file(emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot read the world file .*nowhere\.toml"):
        load_world(emulator.state, tmp_path / "nowhere.toml")
