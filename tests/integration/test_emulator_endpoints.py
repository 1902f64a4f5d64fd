"""The emulator's EICE operations, called with boto3."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from eicctl.emulator.server import Emulator


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return str(refused.value.response["Error"]["Code"])


def test_an_endpoint_has_all_fields(ec2: Any, endpoint: dict[str, Any], emulator: Emulator) -> None:
    assert endpoint["InstanceConnectEndpointId"].startswith("eice-")
    assert endpoint["InstanceConnectEndpointArn"].endswith(
        "instance-connect-endpoint/" + endpoint["InstanceConnectEndpointId"]
    )
    assert endpoint["DnsName"] == f"localhost:{emulator.data_port}"
    assert endpoint["AvailabilityZone"] == "us-east-1a"
    assert endpoint["IpAddressType"] == "ipv4"
    assert endpoint["PreserveClientIp"] is False
    assert endpoint["PublicDnsNames"]["Ipv4"]["DnsName"] == endpoint["DnsName"]
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])[
        "NetworkInterfaces"
    ][0]
    assert interface["SubnetId"] == endpoint["SubnetId"]


def test_without_groups_it_gets_the_default_one(ec2: Any, endpoint: dict[str, Any]) -> None:
    groups = ec2.describe_security_groups(GroupIds=endpoint["SecurityGroupIds"])["SecurityGroups"]
    assert [group["GroupName"] for group in groups] == ["default"]


def test_states_advance_after_the_transition(ec2: Any, subnet_id: str, emulator: Emulator) -> None:
    emulator.state.behave(transition=3600.0)
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)["InstanceConnectEndpoint"]
    look = {"InstanceConnectEndpointIds": [made["InstanceConnectEndpointId"]]}

    def state() -> str:
        return str(ec2.describe_instance_connect_endpoints(**look)["InstanceConnectEndpoints"][0]["State"])

    assert state() == "create-in-progress"
    emulator.state.behave(clock_offset=3601.0)
    assert emulator.state.endpoints()[0].state == "create-complete"


def test_a_failed_creation_has_a_reason(ec2: Any, subnet_id: str, emulator: Emulator) -> None:
    emulator.state.behave(fail_create="The service-linked role is missing.")
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
    row = ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"][0]
    assert (row["State"], row["StateMessage"]) == ("create-failed", "The service-linked role is missing.")


def test_a_client_token_makes_one_endpoint(ec2: Any, subnet_id: str) -> None:
    first = ec2.create_instance_connect_endpoint(SubnetId=subnet_id, ClientToken="t")["InstanceConnectEndpoint"]
    second = ec2.create_instance_connect_endpoint(SubnetId=subnet_id, ClientToken="t")["InstanceConnectEndpoint"]
    assert first["InstanceConnectEndpointId"] == second["InstanceConnectEndpointId"]
    other = {"SubnetId": subnet_id, "ClientToken": "t", "PreserveClientIp": True}
    assert code_of(ec2.create_instance_connect_endpoint, **other) == "IdempotentParameterMismatch"


def test_one_endpoint_per_vpc(ec2: Any, endpoint: dict[str, Any]) -> None:
    other = ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": ["private-b"]}])["Subnets"][0]["SubnetId"]
    assert code_of(ec2.create_instance_connect_endpoint, SubnetId=other) == "InstanceConnectEndpointLimitExceeded"


def test_dry_runs(ec2: Any, subnet_id: str) -> None:
    assert code_of(ec2.create_instance_connect_endpoint, SubnetId=subnet_id, DryRun=True) == "DryRunOperation"
    assert ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == []
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)["InstanceConnectEndpoint"]
    endpoint_id = {"InstanceConnectEndpointId": made["InstanceConnectEndpointId"]}
    assert code_of(ec2.delete_instance_connect_endpoint, **endpoint_id, DryRun=True) == "DryRunOperation"
    modify = {**endpoint_id, "PreserveClientIp": True, "DryRun": True}
    assert code_of(ec2.modify_instance_connect_endpoint, **modify) == "DryRunOperation"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-00000000"]}, "InvalidGroup.NotFound"),
        ({"PreserveClientIp": True, "IpAddressType": "dualstack"}, "InvalidParameterCombination"),
    ],
)
def test_bad_creations(ec2: Any, subnet_id: str, parameters: dict[str, Any], code: str) -> None:
    assert code_of(ec2.create_instance_connect_endpoint, **{"SubnetId": subnet_id, **parameters}) == code


@pytest.mark.parametrize(
    ("endpoint_id", "code"),
    [
        ("eice-0123456789abcdef0", "InvalidInstanceConnectEndpointId.NotFound"),
        ("eice-xyz", "InvalidInstanceConnectEndpointId.Malformed"),
    ],
)
def test_unknown_endpoints(ec2: Any, endpoint_id: str, code: str) -> None:
    assert code_of(ec2.delete_instance_connect_endpoint, InstanceConnectEndpointId=endpoint_id) == code
    assert code_of(ec2.describe_instance_connect_endpoints, InstanceConnectEndpointIds=[endpoint_id]) == code


def test_the_address_type_is_the_subnets(ec2: Any, dual_stack_subnet_id: str) -> None:
    """Without one in the request (docs/explanation/protocol.md#control-plane); only ipv4 preserves client IPs."""
    subnet_id = dual_stack_subnet_id
    create = ec2.create_instance_connect_endpoint
    assert code_of(create, SubnetId=subnet_id, PreserveClientIp=True) == "InvalidParameterCombination"
    made = create(SubnetId=subnet_id)["InstanceConnectEndpoint"]
    assert made["IpAddressType"] == "dualstack"
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=made["InstanceConnectEndpointId"])
    made = create(SubnetId=subnet_id, PreserveClientIp=True, IpAddressType="ipv4")["InstanceConnectEndpoint"]
    assert (made["IpAddressType"], made["PreserveClientIp"]) == ("ipv4", True)


def test_modify(ec2: Any, endpoint: dict[str, Any], emulator: Emulator) -> None:
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=endpoint["VpcId"])["GroupId"]
    emulator.state.behave(transition=3600.0)
    ec2.modify_instance_connect_endpoint(
        InstanceConnectEndpointId=endpoint_id, SecurityGroupIds=[group], PreserveClientIp=True
    )
    during = emulator.state.endpoints()[0]
    assert (during.state, during.preserve_client_ip) == ("update-in-progress", False)
    emulator.state.behave(clock_offset=3601.0)
    after = emulator.state.endpoints()[0]
    assert (after.state, after.preserve_client_ip, after.security_group_ids) == ("update-complete", True, (group,))


def test_delete(ec2: Any, endpoint: dict[str, Any]) -> None:
    answer = ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint["InstanceConnectEndpointId"])
    assert answer["InstanceConnectEndpoint"]["State"] == "delete-in-progress"
    assert ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == []
    assert not ec2.describe_network_interfaces(
        Filters=[{"Name": "network-interface-id", "Values": endpoint["NetworkInterfaceIds"]}]
    )["NetworkInterfaces"]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("state", "create-complete", 1),
        ("state", "create-*", 1),
        ("state", "delete-complete", 0),
        ("tag:team", "web", 1),
        ("tag:team", "db", 0),
        ("tag-key", "team", 1),
        ("vpc-id", "vpc-00000000", 0),
    ],
)
def test_filters(ec2: Any, subnet_id: str, name: str, value: str, found: int) -> None:
    tags = [{"ResourceType": "instance-connect-endpoint", "Tags": [{"Key": "team", "Value": "web"}]}]
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id, TagSpecifications=tags)
    rows = ec2.describe_instance_connect_endpoints(Filters=[{"Name": name, "Values": [value]}])
    assert len(rows["InstanceConnectEndpoints"]) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [("a*b", 3), (r"a\*b", 1), ("a?b", 3), (r"a\?b", 0), ("*", 3), (r"\*", 0), ("a[[]b", 0), ("A*B", 0), ("a", 0)],
)
def test_wildcards_in_filters(ec2: Any, value: str, found: int) -> None:
    """In all of EC2's calls: `*` and `?` are wildcards, and a backslash makes them themselves."""
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    for number, name in enumerate(("a*b", "axb", "a[b")):
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.20{number}.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName=f"{name}-group", Description="g", VpcId=vpc)["GroupId"]
        instance = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]
        resources = [subnet, group, instance["InstanceId"], instance["NetworkInterfaces"][0]["NetworkInterfaceId"]]
        ec2.create_tags(Resources=resources, Tags=[{"Key": "wild", "Value": name}])
    filters = [{"Name": "tag:wild", "Values": [value]}]
    assert len(ec2.describe_subnets(Filters=filters)["Subnets"]) == found
    assert len(ec2.describe_security_groups(Filters=filters)["SecurityGroups"]) == found
    assert len(ec2.describe_instances(Filters=filters)["Reservations"]) == found
    assert len(ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]) == found
    named = [{"Name": "group-name", "Values": [f"{value}-group"]}]
    assert len(ec2.describe_security_groups(Filters=named)["SecurityGroups"]) == found


def test_wildcards_in_states_and_ids(ec2: Any, instance_ids: dict[str, str]) -> None:
    def count(name: str, value: str) -> int:
        rows = ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])["Reservations"]
        return sum(len(row["Instances"]) for row in rows)

    assert count("instance-state-name", "run*") == len(instance_ids)
    assert count("instance-id", "i-*") == len(instance_ids)
    assert count("instance-id", r"i-\*") == 0
    vpcs = [{"Name": "vpc-id", "Values": ["vpc-*"]}]
    assert len(ec2.describe_subnets(Filters=vpcs)["Subnets"]) == len(ec2.describe_subnets()["Subnets"])


def test_tags_made_later_are_shown(ec2: Any, endpoint: dict[str, Any]) -> None:
    ec2.create_tags(Resources=[endpoint["InstanceConnectEndpointId"]], Tags=[{"Key": "Name", "Value": "office"}])
    row = ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"][0]
    assert row["Tags"] == [{"Key": "Name", "Value": "office"}]


def test_pages(ec2: Any, emulator: Emulator) -> None:
    made = set()
    for number in range(5):
        vpc = ec2.create_vpc(CidrBlock=f"10.{number + 10}.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.{number + 10}.1.0/24")["Subnet"]["SubnetId"]
        answer = ec2.create_instance_connect_endpoint(SubnetId=subnet)["InstanceConnectEndpoint"]
        made.add(answer["InstanceConnectEndpointId"])
    pages = list(ec2.get_paginator("describe_instance_connect_endpoints").paginate(PaginationConfig={"PageSize": 2}))
    found = [row["InstanceConnectEndpointId"] for page in pages for row in page["InstanceConnectEndpoints"]]
    assert [len(page["InstanceConnectEndpoints"]) for page in pages] == [2, 2, 1]
    assert set(found) == made


def test_other_regions_have_none(endpoint: dict[str, Any]) -> None:
    assert boto3.client("ec2", "eu-west-1").describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == []
