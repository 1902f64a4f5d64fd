"""The emulator enforces the policies of users and roles, and answers SimulatePrincipalPolicy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import boto3
import pyotp
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus

from eicctl.core.errors import DeniedError
from eicctl.core.model import Credentials, Target
from eicctl.emulator.server import Emulator
from eicctl.tunnel.dial import Dialer
from eicctl.tunnel.sign import presign
from tests.integration.plain_client import plain_client
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
        endpoint["InstanceConnectEndpointArn"].split(":")[3],
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


def url(keys: Mapping[str, str], endpoint: dict[str, Any]) -> str:
    """A presigned URL for web-1."""
    target = Target("10.0.1.10", 22, endpoint["InstanceConnectEndpointId"], endpoint["DnsName"], "us-east-1")
    credentials = Credentials(
        keys["aws_access_key_id"], keys["aws_secret_access_key"], keys.get("aws_session_token", "") or None
    )
    return presign(target, credentials)


def opens(emulator: Emulator, keys: Mapping[str, str], endpoint: dict[str, Any], user_agent: str = "") -> bool:
    """Whether a plain client gets a tunnel."""
    with plain_client(emulator.env["AWS_CA_BUNDLE"]) as client:
        try:
            client.open(url(keys, endpoint), user_agent or None)
        except InvalidStatus as refused:
            if refused.response.status_code != 403:
                raise
            return False
        return True


def looks(keys: Any, user_agent: str = "") -> bool:
    """Whether DescribeVpcs is allowed."""
    config = Config(user_agent=user_agent) if user_agent else None
    try:
        return bool(boto3.client("ec2", config=config, **keys).describe_vpcs()["Vpcs"])
    except ClientError as refused:
        if refused.response["Error"]["Code"] != "UnauthorizedOperation":
            raise
        return False


@pytest.mark.parametrize("operator", ["StringLike", "StringNotLike"])
def test_the_user_agent_counts_on_both_planes(emulator: Emulator, endpoint: dict[str, Any], operator: str) -> None:
    condition: dict[str, Any] = {operator: {"aws:UserAgent": "eicctl/*"}}
    keys = user_with("ann", allow(OPEN, **condition), allow("ec2:DescribeVpcs", **condition))
    ours, other = (True, False) if operator == "StringLike" else (False, True)
    for ask in (looks, lambda keys, agent: opens(emulator, keys, endpoint, agent)):
        assert ask(keys, "eicctl/0.1.0 md/x") is ours
        assert ask(keys, "aws-cli/2.36.7") is other


def test_the_source_address_counts_on_both_planes(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    condition: dict[str, Any] = {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}
    keys = user_with("ann", allow(OPEN, **condition), allow("ec2:DescribeVpcs", **condition))
    for address, good in (("198.51.100.7", True), ("203.0.113.7", False), ("", False)):
        emulator.state.behave(client_ip=address)
        assert looks(keys) is good
        assert opens(emulator, keys, endpoint) is good


def test_tags_of_resources_count_on_both_planes(ec2: Any, emulator: Emulator, endpoint: dict[str, Any]) -> None:
    """Of endpoints in either, and of whatever a call of EC2 names: one by one, or in a list."""
    condition: dict[str, Any] = {"StringEquals": {"aws:ResourceTag/Team": "ops"}}
    actions = ("ec2:ModifyInstanceConnectEndpoint", "ec2:StopInstances", "ec2:RevokeSecurityGroupIngress")
    keys = user_with("ann", allow(OPEN, **condition), *(allow(action, **condition) for action in actions))
    client = boto3.client("ec2", **keys)
    instance = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    instance_id, group_id = instance["InstanceId"], instance["SecurityGroups"][0]["GroupId"]
    endpoint_id = endpoint["InstanceConnectEndpointId"]

    def allowed() -> list[bool]:
        rule = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
        calls: list[tuple[Any, dict[str, Any]]] = [
            (client.modify_instance_connect_endpoint, {"InstanceConnectEndpointId": endpoint_id, "DryRun": True}),
            (client.stop_instances, {"InstanceIds": [instance_id], "DryRun": True}),
            (client.revoke_security_group_ingress, {"GroupId": group_id, "IpPermissions": rule}),
        ]
        return [code_of(call, **given) != "UnauthorizedOperation" for call, given in calls]

    assert not any([*allowed(), opens(emulator, keys, endpoint)])
    ec2.create_tags(Resources=[endpoint_id, instance_id, group_id], Tags=[{"Key": "Team", "Value": "ops"}])
    assert all([*allowed(), opens(emulator, keys, endpoint)])


def session_of(keys: Any, **more: Any) -> dict[str, str]:
    """Temporary keys of a user, as boto3 takes them."""
    return _keys(boto3.client("sts", **keys).get_session_token(**more)["Credentials"])


def _keys(got: Mapping[str, Any]) -> dict[str, str]:
    return {
        "aws_access_key_id": got["AccessKeyId"],
        "aws_secret_access_key": got["SecretAccessKey"],
        "aws_session_token": got["SessionToken"],
    }


def device_of(name: str) -> tuple[str, pyotp.TOTP]:
    """Give a user an MFA device."""
    iam = boto3.client("iam")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    serial = made["SerialNumber"]
    iam.enable_mfa_device(
        UserName=name, SerialNumber=serial, AuthenticationCode1="000000", AuthenticationCode2="111111"
    )
    return serial, pyotp.TOTP(made["Base32StringSeed"].decode())


def test_mfa_can_be_demanded_on_both_planes(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    """A long-lived key has no word of MFA, a session without a code says no, and one with a code says yes."""
    need: dict[str, Any] = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    keys = user_with("ann", allow("sts:GetSessionToken"), allow(OPEN, **need), allow("ec2:DescribeVpcs", **need))
    serial, totp = device_of("ann")
    plain = session_of(keys)
    proved = session_of(keys, SerialNumber=serial, TokenCode=totp.at(emulator.state.now()))
    assert [looks(one) for one in (keys, plain, proved)] == [False, False, True]
    assert [opens(emulator, one, endpoint) for one in (keys, plain, proved)] == [False, False, True]


def test_a_denial_unless_mfa_was_used(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    """AWS's own form: BoolIfExists, because long-lived keys lack the key."""
    deny = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
    }
    deny_keys = deny | {"NotAction": "sts:*"}
    del deny_keys["Action"]
    keys = user_with("ann", allow("*"), deny_keys)
    serial, totp = device_of("ann")
    proved = session_of(keys, SerialNumber=serial, TokenCode=totp.at(emulator.state.now()))
    assert [looks(one) for one in (keys, session_of(keys), proved)] == [False, False, True]
    assert [opens(emulator, one, endpoint) for one in (keys, proved)] == [False, True]


def test_the_age_of_mfa_counts(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    young: dict[str, Any] = {"NumericLessThan": {"aws:MultiFactorAuthAge": "120"}}
    keys = user_with("ann", allow("sts:GetSessionToken"), allow(OPEN, **young), allow("ec2:DescribeVpcs", **young))
    serial, totp = device_of("ann")
    emulator.state.behave(clock_offset=-200.0)
    proved = session_of(keys, SerialNumber=serial, TokenCode=totp.at(emulator.state.now()))
    emulator.state.behave(clock_offset=-140.0)
    assert looks(proved)
    emulator.state.behave(clock_offset=0.0)
    assert not looks(proved)
    assert not opens(emulator, proved, endpoint)
    assert not looks(session_of(keys))


def test_a_role_whose_trust_policy_demands_mfa(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
    }
    iam = boto3.client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="ops", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    need: dict[str, Any] = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    statements = [allow(OPEN, **need), allow("ec2:DescribeVpcs", **need)]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName="ops", PolicyName="p", PolicyDocument=policy)
    keys = user_with("ann", allow("sts:AssumeRole"))
    serial, totp = device_of("ann")
    sts = boto3.client("sts", **keys)
    told: dict[str, Any] = {"RoleArn": role, "RoleSessionName": "ann"}
    assert code_of(sts.assume_role, **told) == "AccessDenied"
    code = totp.at(emulator.state.now())
    proved = _keys(sts.assume_role(**told, SerialNumber=serial, TokenCode=code)["Credentials"])
    assert looks(proved)
    assert opens(emulator, proved, endpoint)


@pytest.mark.parametrize(
    ("principal", "good"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ACCOUNT}, True),
        ({"AWS": [f"arn:aws:iam::{ACCOUNT}:user/bob", f"arn:aws:iam::{ACCOUNT}:user/ann"]}, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}, False),
        ({"Service": "ec2.amazonaws.com"}, False),
    ],
)
def test_whom_a_role_trusts(emulator: Emulator, principal: Any, good: bool) -> None:
    document = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    role = boto3.client("iam").create_role(RoleName="ops", AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    sts = boto3.client("sts", **user_with("ann", allow("sts:AssumeRole")))
    if good:
        assert sts.assume_role(RoleArn=role, RoleSessionName="ann")["Credentials"]
    else:
        assert code_of(sts.assume_role, RoleArn=role, RoleSessionName="ann") == "AccessDenied"


@pytest.mark.parametrize("most", ["3600", "4000", "60"])
def test_a_condition_on_the_duration_demands_one_whatever_it_is(
    emulator: Emulator, endpoint: dict[str, Any], most: str
) -> None:
    """AWS's troubleshooting page: the client has to send one where the policy has the condition."""
    keys = user_with("ann", allow(OPEN, NumericLessThanEquals={"ec2-instance-connect:maxTunnelDuration": most}))
    with pytest.raises(DeniedError):
        dial(keys, endpoint, emulator)
    dial(keys, endpoint, emulator, duration=min(int(most), 3600))


def test_the_os_user_of_a_pushed_key_counts(emulator: Emulator, instance_ids: dict[str, str]) -> None:
    push = "ec2-instance-connect:SendSSHPublicKey"
    keys = user_with("ann", allow(push, StringEquals={"ec2:osuser": "ec2-user"}))
    client = boto3.client("ec2-instance-connect", **keys)
    wanted = {"InstanceId": instance_ids["web-1"], "SSHPublicKey": KEY}
    assert client.send_ssh_public_key(**wanted, InstanceOSUser="ec2-user")["Success"]
    assert code_of(client.send_ssh_public_key, **wanted, InstanceOSUser="root") == "AccessDeniedException"


def test_the_control_plane_answers_unauthorized(emulator: Emulator, endpoint: dict[str, Any], subnet_id: str) -> None:
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
            ContextEntries=cast(Any, list(entries)),
            PaginationConfig={"PageSize": 1},
        )
    )
    return [dict(row) for page in pages for row in page["EvaluationResults"]]


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


def test_simulation_without_permission_is_denied(emulator: Emulator) -> None:
    client = boto3.client("iam", **user_with("ann", allow(OPEN)))
    with pytest.raises(ClientError) as refused:
        client.simulate_principal_policy(PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann", ActionNames=[OPEN])
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
