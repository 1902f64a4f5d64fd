"""An endpoint's life in EC2: what holds its group, subnet and network interface, and what goes with it."""

from __future__ import annotations

import threading
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from eicctl.emulator.server import Emulator


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return str(refused.value.response["Error"]["Code"])


def group_in(ec2: Any, vpc_id: str, name: str = "extra") -> str:
    return str(ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc_id)["GroupId"])


def vpc_of(ec2: Any, subnet_id: str) -> str:
    return str(ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]["VpcId"])


def the_interface(ec2: Any, endpoint: dict[str, Any]) -> dict[str, Any]:
    rows = ec2.describe_network_interfaces(NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])["NetworkInterfaces"]
    return dict(rows[0])


def let_time_pass(emulator: Emulator, seconds: float, state: str) -> None:
    """Let transitions end; the clock goes back afterwards, because requests are signed with the real time."""
    emulator.state.behave(clock_offset=seconds)
    assert [endpoint.state for endpoint in emulator.state.endpoints()] == ([state] if state else [])
    emulator.state.behave(clock_offset=0.0)


def test_the_interface_is_the_services_own(ec2: Any, endpoint: dict[str, Any]) -> None:
    interface = the_interface(ec2, endpoint)
    assert interface["RequesterManaged"] is True
    assert interface["InterfaceType"] == "ec2_instance_connect_endpoint"
    assert interface["Status"] == "in-use"
    assert interface["PrivateIpAddress"].startswith("10.0.1.")
    code = code_of(ec2.delete_network_interface, NetworkInterfaceId=interface["NetworkInterfaceId"])
    assert code == "InvalidNetworkInterface.InUse"


def test_interfaces_take_no_address_of_an_instance(ec2: Any, subnet_id: str, emulator: Emulator) -> None:
    for _ in range(8):
        made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)["InstanceConnectEndpoint"]
        ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=subnet_id)
        address = the_interface(ec2, made)["PrivateIpAddress"]
        assert address not in {machine.address for machine in emulator.state.machines()}
        ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=made["InstanceConnectEndpointId"])


def test_a_full_subnet(ec2: Any) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.77.1.0/28")["Subnet"]["SubnetId"]
    ec2.run_instances(ImageId="ami-12345678", MinCount=11, MaxCount=11, SubnetId=subnet_id)
    code = code_of(ec2.create_instance_connect_endpoint, SubnetId=subnet_id)
    assert code == "InsufficientFreeAddressesInSubnet"


def test_a_group_and_a_subnet_in_use_stay(ec2: Any, subnet_id: str) -> None:
    group = group_in(ec2, vpc_of(ec2, subnet_id))
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id, SecurityGroupIds=[group])
    assert code_of(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    assert code_of(ec2.delete_subnet, SubnetId=subnet_id) == "DependencyViolation"
    endpoint_id = made["InstanceConnectEndpoint"]["InstanceConnectEndpointId"]
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=endpoint_id)
    ec2.delete_security_group(GroupId=group)


def test_a_group_that_an_instance_has_left_goes(ec2: Any, instance_ids: dict[str, str], subnet_id: str) -> None:
    group = group_in(ec2, vpc_of(ec2, subnet_id))
    before = ec2.describe_instances(InstanceIds=[instance_ids["web-1"]])["Reservations"][0]["Instances"][0]
    groups = [row["GroupId"] for row in before["SecurityGroups"]]
    ec2.modify_instance_attribute(InstanceId=instance_ids["web-1"], Groups=[*groups, group])
    assert code_of(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    ec2.modify_instance_attribute(InstanceId=instance_ids["web-1"], Groups=groups)
    ec2.delete_security_group(GroupId=group)


def test_a_group_that_a_rule_names_stays(ec2: Any, endpoint: dict[str, Any]) -> None:
    named, naming = group_in(ec2, endpoint["VpcId"], "named"), group_in(ec2, endpoint["VpcId"], "naming")
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": named}]}
    ec2.authorize_security_group_ingress(GroupId=naming, IpPermissions=[rule])
    assert code_of(ec2.delete_security_group, GroupId=named) == "DependencyViolation"
    ec2.revoke_security_group_ingress(GroupId=naming, IpPermissions=[rule])
    ec2.delete_security_group(GroupId=named)


def test_during_an_update_both_groups_are_in_use(ec2: Any, endpoint: dict[str, Any], emulator: Emulator) -> None:
    first, second = (group_in(ec2, endpoint["VpcId"], name) for name in ("first", "second"))
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    ec2.modify_instance_connect_endpoint(InstanceConnectEndpointId=endpoint_id, SecurityGroupIds=[first])
    emulator.state.behave(transition=3600.0)
    ec2.modify_instance_connect_endpoint(InstanceConnectEndpointId=endpoint_id, SecurityGroupIds=[second])
    assert code_of(ec2.delete_security_group, GroupId=first) == "DependencyViolation"
    assert code_of(ec2.delete_security_group, GroupId=second) == "DependencyViolation"
    let_time_pass(emulator, 3601.0, "update-complete")
    ec2.delete_security_group(GroupId=first)
    assert code_of(ec2.delete_security_group, GroupId=second) == "DependencyViolation"


def test_an_endpoint_being_deleted_is_there_until_it_is_gone(
    ec2: Any, endpoint: dict[str, Any], emulator: Emulator
) -> None:
    ids = [endpoint["InstanceConnectEndpointId"]]
    ec2.create_tags(Resources=ids, Tags=[{"Key": "a", "Value": "b"}])
    emulator.state.behave(transition=3600.0)
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=ids[0])
    assert the_interface(ec2, endpoint)["Status"] == "in-use"
    again = ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=ids[0])
    assert again["InstanceConnectEndpoint"]["State"] == "delete-in-progress"
    assert code_of(ec2.create_instance_connect_endpoint, SubnetId=endpoint["SubnetId"]).endswith("LimitExceeded")

    let_time_pass(emulator, 3601.0, "")
    code = code_of(ec2.describe_instance_connect_endpoints, InstanceConnectEndpointIds=ids)
    assert code == "InvalidInstanceConnectEndpointId.NotFound"
    code = code_of(ec2.describe_network_interfaces, NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])
    assert code == "InvalidNetworkInterfaceID.NotFound"
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ids}])["Tags"] == []


def test_a_failed_creation_holds_nothing(ec2: Any, subnet_id: str, emulator: Emulator) -> None:
    group = group_in(ec2, vpc_of(ec2, subnet_id))
    emulator.state.behave(fail_create="no role")
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id, SecurityGroupIds=[group])
    row = ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"][0]
    assert (row["State"], row["NetworkInterfaceIds"]) == ("create-failed", [])
    ec2.delete_security_group(GroupId=group)
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
    states = {row["State"] for row in ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]}
    assert states == {"create-failed", "create-complete"}


def test_a_token_stands_for_the_request_not_for_what_became_of_it(ec2: Any, subnet_id: str) -> None:
    tags = [{"ResourceType": "instance-connect-endpoint", "Tags": [{"Key": "team", "Value": "web"}]}]
    request = {"SubnetId": subnet_id, "ClientToken": "t", "TagSpecifications": tags}
    first = ec2.create_instance_connect_endpoint(**request)["InstanceConnectEndpoint"]
    ec2.modify_instance_connect_endpoint(
        InstanceConnectEndpointId=first["InstanceConnectEndpointId"], PreserveClientIp=True
    )
    again = ec2.create_instance_connect_endpoint(**request)["InstanceConnectEndpoint"]
    assert again["InstanceConnectEndpointId"] == first["InstanceConnectEndpointId"]
    assert again["PreserveClientIp"] is True
    other = dict(request, TagSpecifications=[])
    assert code_of(ec2.create_instance_connect_endpoint, **other) == "IdempotentParameterMismatch"


def test_a_token_is_of_one_region(ec2: Any, subnet_id: str) -> None:
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id, ClientToken="t")
    elsewhere = boto3.client("ec2", "eu-west-1")
    subnet = elsewhere.describe_subnets()["Subnets"][0]["SubnetId"]
    made = elsewhere.create_instance_connect_endpoint(SubnetId=subnet, ClientToken="t")["InstanceConnectEndpoint"]
    assert made["SubnetId"] == subnet
    assert len(elsewhere.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]) == 1


def test_of_many_creations_at_once_one_succeeds(ec2: Any, subnet_id: str) -> None:
    made: list[str] = []
    refused: list[str] = []

    def create() -> None:
        try:
            answer = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)
        except ClientError as error:
            refused.append(error.response["Error"]["Code"])
        else:
            made.append(answer["InstanceConnectEndpoint"]["InstanceConnectEndpointId"])

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert refused == ["InstanceConnectEndpointLimitExceeded"] * 7


@pytest.mark.parametrize("operation", ["create", "describe", "modify", "delete", "console"])
def test_a_dry_run_changes_nothing(
    ec2: Any, endpoint: dict[str, Any], instance_ids: dict[str, str], operation: str
) -> None:
    endpoint_id = {"InstanceConnectEndpointId": endpoint["InstanceConnectEndpointId"]}
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")["Subnet"]["SubnetId"]
    call, parameters = {
        "create": (ec2.create_instance_connect_endpoint, {"SubnetId": subnet}),
        "describe": (ec2.describe_instance_connect_endpoints, {}),
        "modify": (ec2.modify_instance_connect_endpoint, {**endpoint_id, "PreserveClientIp": True}),
        "delete": (ec2.delete_instance_connect_endpoint, endpoint_id),
        "console": (ec2.get_console_output, {"InstanceId": instance_ids["web-1"]}),
    }[operation]
    with pytest.raises(ClientError) as refused:
        call(**parameters, DryRun=True)
    assert refused.value.response["Error"]["Code"] == "DryRunOperation"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == [endpoint]


def test_a_dry_run_of_one_too_many(ec2: Any, endpoint: dict[str, Any]) -> None:
    code = code_of(ec2.create_instance_connect_endpoint, SubnetId=endpoint["SubnetId"], DryRun=True)
    assert code == "InstanceConnectEndpointLimitExceeded"


def test_too_many_groups(ec2: Any, subnet_id: str) -> None:
    groups = [f"sg-{number:017x}" for number in range(17)]
    code = code_of(ec2.create_instance_connect_endpoint, SubnetId=subnet_id, SecurityGroupIds=groups)
    assert code == "SecurityGroupsPerInterfaceLimitExceeded"


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("tag:team", "[w]eb")], False),
        ([("tag:team", r"w\*")], False),
        ([("tag:team", "w?b")], True),
        ([("tag-value", "web")], True),
        ([("tag-value", "nope"), ("state", "create-complete")], False),
        ([("tag-key", "te*"), ("state", "create-complete")], True),
    ],
)
def test_filter_patterns(ec2: Any, subnet_id: str, filters: list[tuple[str, str]], found: bool) -> None:
    tags = [{"ResourceType": "instance-connect-endpoint", "Tags": [{"Key": "team", "Value": "web"}]}]
    ec2.create_instance_connect_endpoint(SubnetId=subnet_id, TagSpecifications=tags)
    given = [{"Name": name, "Values": [value]} for name, value in filters]
    assert bool(ec2.describe_instance_connect_endpoints(Filters=given)["InstanceConnectEndpoints"]) is found


@pytest.mark.parametrize("token", ["zzz", "LTE="])
def test_a_made_up_page(ec2: Any, token: str) -> None:
    assert code_of(ec2.describe_instance_connect_endpoints, NextToken=token) == "InvalidNextToken"


def test_a_filter_that_does_not_exist(ec2: Any, endpoint: dict[str, Any]) -> None:
    filters = [{"Name": "colour", "Values": ["red"]}]
    assert code_of(ec2.describe_instance_connect_endpoints, Filters=filters) == "InvalidParameterValue"
