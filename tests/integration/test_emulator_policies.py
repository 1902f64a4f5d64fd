"""The emulator enforces the policies of users and roles, and answers SimulatePrincipalPolicy."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from eicctl.emulator.server import Emulator
from eicctl.errors import DeniedError
from eicctl.model import Credentials, Target
from eicctl.tunnel.dial import Dialer
from tests.integration.test_emulator_access import KEY, code_of

ACCOUNT = "123456789012"
OPEN = "ec2-instance-connect:OpenTunnel"


def allow(action: str, resource: str = "*", **condition: dict[str, str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition}


def user_with(name: str, *statements: dict[str, Any]) -> Any:
    """Make a user with an inline policy and an access key; return how boto3 takes it."""
    iam = boto3.client("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def dial(keys: Any, endpoint: dict[str, Any], emulator: Emulator, **changes: Any) -> None:
    credentials = Credentials(*keys.values())
    target = Target(
        changes.get("address", "10.0.1.10"),
        changes.get("port", 22),
        endpoint["InstanceConnectEndpointId"],
        endpoint["DnsName"],
        "us-east-1",
    )
    # Any duration given, or none: nothing is found out or remembered.
    dialer = Dialer(target, lambda: credentials, emulator.env["AWS_CA_BUNDLE"], changes.get("duration"))
    dialer.durations = None
    dialer.open(retry_budget=0).stream.close()


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"duration": 600}, True),
        ({"duration": 300}, True),
        ({"duration": 601}, False),
        ({}, False),
        ({"duration": 600, "port": 3389}, False),
        ({"duration": 600, "address": "10.0.2.10"}, False),
    ],
)
def test_the_data_plane_heeds_every_condition(
    emulator: Emulator, endpoint: dict[str, Any], changes: dict[str, Any], good: bool
) -> None:
    statement = allow(
        OPEN,
        endpoint["InstanceConnectEndpointArn"],
        NumericEquals={"ec2-instance-connect:remotePort": "22"},
        IpAddress={"ec2-instance-connect:privateIpAddress": "10.0.1.0/24", "aws:SourceIp": "198.51.100.0/24"},
        NumericLessThanEquals={"ec2-instance-connect:maxTunnelDuration": "600"},
    )
    keys = user_with("ann", statement)
    emulator.state.behave(client_ip="198.51.100.7")
    if good:
        dial(keys, endpoint, emulator, **changes)
        emulator.state.behave(client_ip="203.0.113.7")
    with pytest.raises(DeniedError) as refused:
        dial(keys, endpoint, emulator, **changes)
    assert "AccessDeniedException" in refused.value.message
    assert emulator.state.events()[-1]["errorCode"] == "AccessDeniedException"


def test_the_tags_of_the_endpoint_count(ec2: Any, emulator: Emulator, endpoint: dict[str, Any]) -> None:
    keys = user_with("ann", allow(OPEN, StringEquals={"aws:ResourceTag/Team": "ops"}))
    with pytest.raises(DeniedError):
        dial(keys, endpoint, emulator)
    ec2.create_tags(Resources=[endpoint["InstanceConnectEndpointId"]], Tags=[{"Key": "Team", "Value": "ops"}])
    dial(keys, endpoint, emulator)


def test_the_os_user_of_a_pushed_key_counts(emulator: Emulator, instance_ids: dict[str, str]) -> None:
    push = "ec2-instance-connect:SendSSHPublicKey"
    keys = user_with("ann", allow(push, StringEquals={"ec2:osuser": "ec2-user"}))
    client = boto3.client("ec2-instance-connect", **keys)
    wanted = {"InstanceId": instance_ids["web-1"], "SSHPublicKey": KEY}
    assert client.send_ssh_public_key(**wanted, InstanceOSUser="ec2-user")["Success"]
    assert code_of(client.send_ssh_public_key, **wanted, InstanceOSUser="root") == "AccessDeniedException"


def test_the_control_plane_says_unauthorized(emulator: Emulator, endpoint: dict[str, Any], subnet_id: str) -> None:
    client = boto3.client("ec2", **user_with("ann", allow("ec2:Describe*")))
    assert client.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]
    assert code_of(client.create_instance_connect_endpoint, SubnetId=subnet_id) == "UnauthorizedOperation"
    given = {"InstanceConnectEndpointId": endpoint["InstanceConnectEndpointId"]}
    assert code_of(client.delete_instance_connect_endpoint, **given) == "UnauthorizedOperation"


def test_a_denial_counts_more_than_what_groups_and_managed_policies_allow(emulator: Emulator) -> None:
    iam = boto3.client("iam")
    deny = {"Effect": "Deny", "Action": "ec2:DescribeVpcs", "Resource": "*"}
    keys = user_with("ann", deny)
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow("ec2:*")]})
    made = iam.create_policy(PolicyName="all", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_group(GroupName="team")
    iam.attach_group_policy(GroupName="team", PolicyArn=made)
    iam.add_user_to_group(GroupName="team", UserName="ann")
    client = boto3.client("ec2", **keys)
    assert client.describe_subnets()["Subnets"]
    assert code_of(client.describe_vpcs) == "UnauthorizedOperation"


def test_a_role_is_held_to_its_policies(emulator: Emulator) -> None:
    iam = boto3.client("iam")
    role = iam.create_role(RoleName="ops", Path="/team/", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow("ec2:DescribeVpcs")]})
    iam.put_role_policy(RoleName="ops", PolicyName="p", PolicyDocument=document)
    got = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="ann")["Credentials"]
    client = boto3.client(
        "ec2",
        aws_access_key_id=got["AccessKeyId"],
        aws_secret_access_key=got["SecretAccessKey"],
        aws_session_token=got["SessionToken"],
    )
    assert client.describe_vpcs()["Vpcs"]
    assert code_of(client.describe_subnets) == "UnauthorizedOperation"


def entry(name: str, kind: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": name, "ContextKeyType": kind, "ContextKeyValues": [value]}


def simulated(*entries: dict[str, Any], actions: tuple[str, ...] = (OPEN,)) -> list[dict[str, Any]]:
    pages = (
        boto3.client("iam")
        .get_paginator("simulate_principal_policy")
        .paginate(
            PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann",
            ActionNames=list(actions),
            ContextEntries=list(entries),
            PaginationConfig={"PageSize": 1},
        )
    )
    return [row for page in pages for row in page["EvaluationResults"]]


def test_simulation_names_what_decides_and_what_is_missing(emulator: Emulator) -> None:
    limit = {"ec2-instance-connect:maxTunnelDuration": "600"}
    user_with("ann", allow(OPEN, NumericLessThanEquals=limit))
    (good,) = simulated(entry("ec2-instance-connect:maxTunnelDuration", "numeric", "600"))
    assert good["EvalDecision"] == "allowed"
    assert good["MatchedStatements"][0]["SourcePolicyId"] == "user_ann_p"
    (bad,) = simulated()
    assert bad["EvalDecision"] == "implicitDeny"
    assert bad["MissingContextValues"] == ["ec2-instance-connect:maxTunnelDuration"]


def test_simulation_has_pages(emulator: Emulator) -> None:
    user_with("ann", allow("ec2:Describe*"))
    rows = simulated(actions=("ec2:DescribeVpcs", OPEN, "ec2:DescribeSubnets"))
    assert [row["EvalDecision"] for row in rows] == ["allowed", "implicitDeny", "allowed"]


def test_simulation_knows_users_and_roles_only(emulator: Emulator) -> None:
    ask = boto3.client("iam").simulate_principal_policy
    parameters = {"ActionNames": [OPEN]}
    nobody = f"arn:aws:iam::{ACCOUNT}:user/nobody"
    assert code_of(ask, PolicySourceArn=nobody, **parameters) == "NoSuchEntity"
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/ann"
    assert code_of(ask, PolicySourceArn=session, **parameters) == "InvalidInput"


def test_who_may_not_simulate_is_told(emulator: Emulator) -> None:
    client = boto3.client("iam", **user_with("ann", allow(OPEN)))
    with pytest.raises(ClientError) as refused:
        client.simulate_principal_policy(PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann", ActionNames=[OPEN])
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
