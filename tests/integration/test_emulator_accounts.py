"""Several accounts in the local AWS: roles, the organization, resources apart, and shared subnets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from eicctl.emulator.server import Emulator
from eicctl.emulator.world import load_world

OWN, STAGING, DEV, OLD = "123456789012", "222233334444", "333344445555", "444455556666"
ROLE = "OrganizationAccountAccessRole"


@pytest.fixture
def accounts(emulator: Emulator) -> Iterator[Emulator]:
    load_world(emulator.state, Path("accounts"), emulator.dns_name())
    yield emulator
    emulator.reset()


@pytest.fixture
def assumed(accounts: Emulator) -> Callable[[str], boto3.Session]:
    """Sessions of the role in an account; the own one's for the management account."""

    def assume(account: str) -> boto3.Session:
        if account == OWN:
            return boto3.Session()
        arn = f"arn:aws:iam::{account}:role/{ROLE}"
        keys = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    return assume


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_a_role_is_assumed_in_an_active_account_only(assumed: Callable[[str], boto3.Session]) -> None:
    identity = assumed(STAGING).client("sts").get_caller_identity()
    assert identity["Account"] == STAGING
    assert identity["Arn"] == f"arn:aws:sts::{STAGING}:assumed-role/{ROLE}/test"
    assert code_of(lambda: assumed(OLD)) == "AccessDenied"
    assert code_of(lambda: assumed("999999999999")) == "AccessDenied"


def test_the_organization_is_listed_by_its_management_account(assumed: Callable[[str], boto3.Session]) -> None:
    client = boto3.client("organizations")
    pages = list(client.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Accounts"]) for page in pages] == [3, 1]
    found = {row["Id"]: row["State"] for page in pages for row in page["Accounts"]}
    assert found == {OWN: "ACTIVE", STAGING: "ACTIVE", DEV: "ACTIVE", OLD: "SUSPENDED"}
    member = assumed(STAGING).client("organizations")
    assert code_of(member.list_accounts) == "AccessDeniedException"


def test_no_organization_without_accounts(emulator: Emulator) -> None:
    assert code_of(boto3.client("organizations").list_accounts) == "AWSOrganizationsNotInUseException"


@pytest.mark.parametrize(
    ("account", "names", "endpoints"), [(OWN, ["web-1"], 1), (STAGING, ["web-1"], 1), (DEV, ["dev-1"], 0)]
)
def test_an_account_sees_its_own_instances_and_endpoints(
    assumed: Callable[[str], boto3.Session], account: str, names: list[str], endpoints: int
) -> None:
    ec2 = assumed(account).client("ec2")
    groups = ec2.describe_instances()["Reservations"]
    assert {group["OwnerId"] for group in groups} == {account}
    tags = [tag for group in groups for row in group["Instances"] for tag in row["Tags"]]
    assert [tag["Value"] for tag in tags if tag["Key"] == "Name"] == names
    rows = ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]
    assert [row["OwnerId"] for row in rows] == [account] * endpoints


def test_a_shared_subnet_is_its_owners(assumed: Callable[[str], boto3.Session]) -> None:
    ec2 = assumed(DEV).client("ec2")
    (vpc,), (subnet,) = ec2.describe_vpcs()["Vpcs"], ec2.describe_subnets()["Subnets"]
    assert (vpc["OwnerId"], subnet["OwnerId"], subnet["VpcId"]) == (OWN, OWN, vpc["VpcId"])
    assert [group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]] == ["dev-targets"]
    create = ec2.create_instance_connect_endpoint
    assert code_of(lambda: create(SubnetId=subnet["SubnetId"])) == "InvalidParameter"  # no default group of its own
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    made = create(SubnetId=subnet["SubnetId"], SecurityGroupIds=[group])["InstanceConnectEndpoint"]
    assert made["OwnerId"] == DEV
    assert len(boto3.client("ec2").describe_instance_connect_endpoints()["InstanceConnectEndpoints"]) == 1


def test_each_account_has_its_own_event_history(assumed: Callable[[str], boto3.Session]) -> None:
    ec2 = assumed(STAGING).client("ec2")
    (row,) = ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=row["InstanceConnectEndpointId"])
    theirs = assumed(STAGING).client("cloudtrail").lookup_events()["Events"]
    assert [event["EventName"] for event in theirs] == ["DeleteInstanceConnectEndpoint"]
    assert boto3.client("cloudtrail").lookup_events()["Events"] == []


def test_a_refusal_of_one_account(accounts: Emulator, assumed: Callable[[str], boto3.Session]) -> None:
    accounts.state.behave(denied=f"{STAGING}:DescribeVpcs")
    assert boto3.client("ec2").describe_vpcs()["Vpcs"]
    assert code_of(assumed(STAGING).client("ec2").describe_vpcs) == "UnauthorizedOperation"


def test_each_account_has_its_own_request_rate(accounts: Emulator, assumed: Callable[[str], boto3.Session]) -> None:
    clients = [
        assumed(account).client("ec2", config=Config(retries={"total_max_attempts": 1})) for account in (OWN, DEV)
    ]
    accounts.state.behave(throttling=0.0001)  # a call, and no other for minutes
    for client in clients:
        assert client.describe_vpcs()["Vpcs"]
        assert code_of(client.describe_vpcs) == "RequestLimitExceeded"
