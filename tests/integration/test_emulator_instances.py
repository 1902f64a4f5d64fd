"""Instances of the world, and those that a user runs: what EC2 tells of them, and the machines behind them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import boto3
import pytest

from eicctl.emulator.server import Emulator


def rows(ec2: Any) -> dict[str, dict[str, Any]]:
    found = [row for group in ec2.describe_instances()["Reservations"] for row in group["Instances"]]
    return {next(tag["Value"] for tag in row["Tags"] if tag["Key"] == "Name"): row for row in found}


def run(ec2: Any, image_id: str) -> dict[str, Any]:
    subnet = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["private-b"]}])["Subnets"][0]["SubnetId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "mine"}]}]
    answer = ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1, SubnetId=subnet, TagSpecifications=tags)
    return dict(answer["Instances"][0])


@pytest.mark.parametrize(
    ("name", "address", "platform", "details", "image", "owner"),
    [
        ("web-1", "10.0.1.10", None, "Linux/UNIX", "al2023-ami-", "137112412989"),
        ("app-1", "10.0.2.10", None, "Linux/UNIX", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-", "099720109477"),
        ("win-1", "10.0.2.30", "windows", "Windows", "Windows_Server-2025-English-Full-Base-", "137112412989"),
    ],
)
def test_the_default_world(
    ec2: Any, name: str, address: str, platform: str | None, details: str, image: str, owner: str
) -> None:
    row = rows(ec2)[name]
    assert row["PrivateIpAddress"] == address
    assert row["PrivateDnsName"] == f"ip-{address.replace('.', '-')}.ec2.internal"
    assert (row.get("Platform"), row["PlatformDetails"]) == (platform, details)
    assert "PublicIpAddress" not in row
    (ami,) = ec2.describe_images(ImageIds=[row["ImageId"]])["Images"]
    assert ami["Name"].startswith(image)
    assert (ami["OwnerId"], ami["Architecture"], ami["PlatformDetails"]) == (owner, "x86_64", details)


def test_what_a_user_runs_has_a_machine(ec2: Any, emulator: Emulator) -> None:
    row = run(ec2, rows(ec2)["app-1"]["ImageId"])
    machine = emulator.state.machine_of(row["InstanceId"])
    assert machine
    assert (machine.name, machine.kind, machine.users) == ("mine", "linux", ("ubuntu",))
    assert machine is emulator.state.machine(row["VpcId"], row["PrivateIpAddress"])
    assert machine.host_public_key in ec2.get_console_output(InstanceId=row["InstanceId"])["Output"]
    assert rows(ec2)["mine"]["PlatformDetails"] == "Linux/UNIX"


def test_a_windows_instance_of_a_user(ec2: Any, emulator: Emulator) -> None:
    row = run(ec2, rows(ec2)["win-1"]["ImageId"])
    machine = emulator.state.machine_of(row["InstanceId"])
    assert machine
    assert (machine.kind, machine.host_key) == ("windows", "")


def test_machines_stay_what_they_are_when_others_run(ec2: Any, emulator: Emulator) -> None:
    before = emulator.state.machines()
    run(ec2, rows(ec2)["web-1"]["ImageId"])
    assert emulator.state.machines()[: len(before)] == before


def test_fingerprints_in_the_console_are_those_of_the_keys(ec2: Any) -> None:
    text = ec2.get_console_output(InstanceId=rows(ec2)["web-1"]["InstanceId"])["Output"]
    fingerprint = text.split("-----BEGIN SSH HOST KEY FINGERPRINTS-----")[1].split()[1]
    key = text.split("-----BEGIN SSH HOST KEY KEYS-----")[1].split()[1]
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    assert fingerprint == "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def test_a_windows_console_has_no_keys(ec2: Any) -> None:
    assert "HOST KEY" not in ec2.get_console_output(InstanceId=rows(ec2)["win-1"]["InstanceId"])["Output"]


def test_the_database_is_in_the_vpc(ec2: Any) -> None:
    (database,) = boto3.client("rds").describe_db_instances()["DBInstances"]
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert database["DBSubnetGroup"]["VpcId"] == vpc["VpcId"]
    assert len(database["DBSubnetGroup"]["Subnets"]) == 2
    assert database["AvailabilityZone"] == "us-east-1b"
    filters = [{"Name": "private-ip-address", "Values": ["10.0.2.50"]}]
    (interface,) = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    assert interface["Description"] == "RDSNetworkInterface"
    assert [group["GroupName"] for group in interface["Groups"]] == ["database"]
