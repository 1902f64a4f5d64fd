"""What `eicctl doctor` says of callers whose policies do not allow everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.integration.conftest import Ran
from tests.integration.test_doctor import World, no_ingress, world
from tests.integration.test_emulator_policies import allow, user_with

Eicctl = Callable[..., Ran]

__all__ = ["world"]

OPEN = "ec2-instance-connect:OpenTunnel"
PUSH = "ec2-instance-connect:SendSSHPublicKey"
LOOK = allow("ec2:Describe*")
ASK = allow("iam:SimulatePrincipalPolicy")
DURATION = "ec2-instance-connect:maxTunnelDuration"


def sign_in(world: World, *statements: dict[str, Any], name: str = "ann") -> None:
    """Be a user who may do what the statements say."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        world.monkeypatch.setenv(key, world.emulator.env[key])
    keys = user_with(name, *statements)
    world.monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["aws_access_key_id"])
    world.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["aws_secret_access_key"])


def diagnosed(eicctl: Eicctl, *words: str) -> tuple[int, Any, dict[str, Any]]:
    """The exit code, the cause, and the checks by their keys."""
    ran = eicctl("doctor", *words, "--output", "json")
    found = json.loads(ran.out)
    return ran.code, found["Cause"], {check["Key"]: check for check in found["Checks"]}


def test_least_privilege_is_enough(eicctl: Eicctl, world: World) -> None:
    """For this port, address, duration, tag and OS user, and no other."""
    address = {"ec2-instance-connect:privateIpAddress": "10.0.1.0/24"}
    opens = allow(
        OPEN,
        world.endpoint["InstanceConnectEndpointArn"],
        NumericEquals={"ec2-instance-connect:remotePort": "22"},
        NumericLessThanEquals={DURATION: "600"},
        IpAddress=address,
    )
    pushes = allow(PUSH, StringEquals={"ec2:osuser": "deploy", "aws:ResourceTag/Role": "web"})
    sign_in(world, LOOK, ASK, opens, pushes)
    code, cause, checks = diagnosed(eicctl, "web-1", "--max-tunnel-duration", "600", "--user", "deploy")
    assert (code, cause) == (0, None)
    assert checks["permission"]["Status"] == checks["key-permission"]["Status"] == "ok"
    assert "allowed by user_ann_p" in checks["permission"]["Message"]
    assert checks["permission"]["Details"]["Principal"] == "arn:aws:iam::123456789012:user/ann"
    resources = {answer["Action"]: answer["Resource"] for answer in checks["permission"]["Details"]["Answers"]}
    assert resources[OPEN] == world.endpoint["InstanceConnectEndpointArn"]
    assert resources[PUSH].endswith(f":instance/{world.instance_ids['web-1']}")


def test_a_policy_that_wants_short_tunnels(eicctl: Eicctl, world: World) -> None:
    """Without a duration, eicctl finds one by itself; one that is too long is the user's own."""
    sign_in(world, LOOK, ASK, allow(PUSH), allow(OPEN, NumericLessThanEquals={DURATION: "1000"}))
    code, cause, checks = diagnosed(eicctl, "web-1")
    assert (code, cause) == (0, None)
    assert "900 s is allowed" in checks["permission"]["Message"]
    code, cause, checks = diagnosed(eicctl, "web-1", "--max-tunnel-duration", "1800")
    assert (code, cause["Check"], cause["Remediation"]) == (4, "permission", "--max-tunnel-duration 900")


def test_a_statement_that_denies(eicctl: Eicctl, world: World) -> None:
    deny = {"Effect": "Deny", "Action": OPEN, "Resource": "*"}
    sign_in(world, LOOK, ASK, allow("ec2-instance-connect:*"), deny)
    code, cause, _ = diagnosed(eicctl, "web-1")
    assert (code, cause["Check"]) == (4, "permission")
    assert f"user/ann do not allow {OPEN} on {world.endpoint['InstanceConnectEndpointId']}" in cause["Summary"]
    assert "explicitly denied by user_ann_p" in cause["Summary"]


def test_a_policy_that_allows_nothing_of_it(eicctl: Eicctl, world: World) -> None:
    sign_in(world, LOOK, ASK)
    code, cause, checks = diagnosed(eicctl, "web-1")
    assert (code, cause["Check"]) == (4, "permission")
    assert "not allowed by any statement for this endpoint, port and address" in cause["Summary"]
    assert cause["Remediation"].startswith("eicctl policy connect --endpoint eice-")
    assert checks["tunnel"]["SkippedBecause"] == "permission"
    assert "ec2:osuser" in checks["key-permission"]["Message"]


def test_a_denial_that_iam_was_not_asked_about(eicctl: Eicctl, world: World) -> None:
    """The caller may not ask the simulator: what the service answers to the tunnel tells."""
    sign_in(world, LOOK, allow(PUSH))
    code, cause, checks = diagnosed(eicctl, "web-1")
    assert (code, cause["Check"]) == (4, "permission")
    assert "not authorized to perform: ec2-instance-connect:OpenTunnel" in checks["permission"]["Message"]
    assert checks["permission"]["Details"]["RequestId"]


def test_the_policy_for_windows_names_no_os_user(eicctl: Eicctl, world: World) -> None:
    sign_in(world, LOOK, ASK)
    _, cause, checks = diagnosed(eicctl, "win-1")
    assert cause["Remediation"].endswith(" --port 3389 --region us-east-1")
    assert [answer["Action"] for answer in checks["permission"]["Details"]["Answers"]].count(PUSH) == 0
    ran = eicctl("policy", "check", "win-1", "--output", "json")
    assert ran.code == 4
    sign_in(world, LOOK, ASK, allow(OPEN, NumericEquals={"ec2-instance-connect:remotePort": "3389"}), name="bob")
    assert eicctl("policy", "check", "win-1", "--output", "json").code == 0


def test_a_tunnel_without_the_right_to_push_a_key(eicctl: Eicctl, world: World) -> None:
    sign_in(world, LOOK, ASK, allow(OPEN))
    code, cause, checks = diagnosed(eicctl, "web-1")
    assert (code, cause["Check"]) == (4, "key-permission")
    assert checks["tunnel"]["Status"] == "ok"


def test_a_condition_whose_value_is_not_known_here(eicctl: Eicctl, world: World) -> None:
    from_here = allow(OPEN, IpAddress={"aws:SourceIp": "203.0.113.0/24"})
    sign_in(world, LOOK, ASK, allow(PUSH), from_here)
    world.emulator.state.behave(client_ip="203.0.113.7")
    code, cause, checks = diagnosed(eicctl, "web-1")
    assert (code, cause) == (0, None)
    assert checks["permission"]["Status"] == "unknown"
    assert "aws:SourceIp" in checks["permission"]["Message"]


def test_without_the_right_to_ask_it_is_not_known(eicctl: Eicctl, world: World) -> None:
    sign_in(world, LOOK, allow(OPEN), allow(PUSH))
    code, cause, checks = diagnosed(eicctl, "web-1")
    assert (code, cause) == (0, None)
    assert checks["permission"]["Status"] == checks["key-permission"]["Status"] == "unknown"
    assert "iam:SimulatePrincipalPolicy" in checks["permission"]["Message"]


@pytest.mark.parametrize(
    ("hidden", "key"),
    [
        ("DescribeNetworkAcls", "network-acls"),
        ("DescribeSecurityGroups", "ingress"),
        ("DescribeRegions", "region"),
        ("DescribeImages", "instance-connect"),
    ],
)
def test_what_may_not_be_looked_at_is_not_known(eicctl: Eicctl, world: World, hidden: str, key: str) -> None:
    deny = {"Effect": "Deny", "Action": f"ec2:{hidden}", "Resource": "*"}
    sign_in(world, LOOK, ASK, allow(OPEN), allow(PUSH), deny)
    code, cause, checks = diagnosed(eicctl, "app-1")
    assert (code, cause) == (0, None)
    assert checks[key]["Status"] == "unknown"
    assert checks["tunnel"]["Status"] == "ok"


def test_hidden_groups_are_not_acquitted(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    sign_in(world, LOOK, allow(OPEN), {"Effect": "Deny", "Action": "ec2:DescribeSecurityGroups", "Resource": "*"})
    code, cause, _ = diagnosed(eicctl, "web-1")
    assert (code, cause["Check"]) == (5, "tunnel")
    assert "could not be checked: Egress, Ingress" in cause["Summary"]


def test_without_the_right_to_find_the_target(eicctl: Eicctl, world: World) -> None:
    sign_in(world, allow(OPEN))
    code, cause, _ = diagnosed(eicctl, "web-1")
    assert (code, cause["Check"]) == (4, "target")
    assert "ec2:DescribeInstances" in cause["Remediation"]


def test_told_in_full_it_needs_no_right_to_look(eicctl: Eicctl, world: World) -> None:
    """Address, endpoint and its name are given."""
    sign_in(world, allow(OPEN))
    code, cause, checks = diagnosed(
        eicctl,
        *("--private-ip-address", "10.0.1.10"),
        *("--instance-connect-endpoint-id", world.endpoint["InstanceConnectEndpointId"]),
        *("--instance-connect-endpoint-dns-name", world.endpoint["DnsName"]),
    )
    assert (code, cause) == (0, None)
    assert checks["target"]["Status"] == checks["endpoint"]["Status"] == "unknown"
    assert checks["connectivity"]["Status"] == checks["tunnel"]["Status"] == "ok"


def test_a_rule_that_may_not_be_made(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    sign_in(world, LOOK, allow(OPEN))
    ran = eicctl("doctor", "web-1", "--fix", "--yes")
    assert ran.code == 4
    assert "ec2:AuthorizeSecurityGroupIngress" in ran.err
    assert "Nothing to undo" in eicctl("doctor", "--undo", "--yes").err


def test_a_role_is_asked_about_by_its_own_arn(eicctl: Eicctl, world: World) -> None:
    iam = boto3.client("iam")
    role = iam.create_role(RoleName="ops", Path="/team/", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [LOOK, ASK, allow("iam:GetRole"), allow(OPEN), allow(PUSH)]}
    )
    iam.put_role_policy(RoleName="ops", PolicyName="p", PolicyDocument=document)
    keys = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="ann")["Credentials"]
    world.monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    world.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    world.monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    code, _, checks = diagnosed(eicctl, "web-1")
    assert code == 0
    assert checks["permission"]["Status"] == "ok"
    assert checks["permission"]["Details"]["Principal"].endswith(":assumed-role/ops/ann")
