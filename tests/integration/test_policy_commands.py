"""`eicctl policy`, and generated policies held against the local AWS's enforcement."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran
from tests.integration.test_emulator_access import KEY, code_of
from tests.integration.test_emulator_policies import allow, dial, user_with

Eicctl = Callable[..., Ran]


def become(monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]) -> None:
    """Let the commands that follow be those of a user."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["aws_secret_access_key"])


def user_by(eicctl: Eicctl, name: str, *words: str) -> Any:
    """Make a user with the policy that a command writes."""
    ran = eicctl("policy", *words)
    assert ran.code == 0, ran.err
    return user_with(name, *json.loads(ran.out)["Statement"])


@pytest.fixture
def ann(eicctl: Eicctl, endpoint: dict[str, Any], ec2: Any, instance_ids: dict[str, str]) -> Any:
    """A user who may go to port 22 in 10.0.1.0/24 for 15 minutes, and be ec2-user on instances of a team."""
    ec2.create_tags(Resources=[instance_ids["web-1"]], Tags=[{"Key": "Team", "Value": "web"}])
    words = ("--endpoint", endpoint["InstanceConnectEndpointId"], "--port", "22", "--cidr", "10.0.1.0/24")
    limits = ("--max-duration", "900", "--os-user", "ec2-user", "--instance-tag", "Team=web")
    return user_by(eicctl, "ann", "connect", *words, *limits, "--account", "123456789012", "--region", "us-east-1")


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"duration": 900}, True),
        ({"duration": 901}, False),
        ({"duration": 900, "port": 3389}, False),
        ({"duration": 900, "address": "10.0.2.20"}, False),
    ],
)
def test_a_connect_policy_lets_in_to_what_was_named(
    emulator: Emulator, ann: Any, endpoint: dict[str, Any], changes: dict[str, Any], good: bool
) -> None:
    from eicctl.core.errors import DeniedError

    if good:
        dial(ann, endpoint, emulator, **changes)
    else:
        with pytest.raises(DeniedError):
            dial(ann, endpoint, emulator, **changes)


def test_a_connect_policy_pushes_keys_for_the_user_and_the_tag(ann: Any, instance_ids: dict[str, str]) -> None:
    push = boto3.client("ec2-instance-connect", **ann).send_ssh_public_key
    good = {"InstanceId": instance_ids["web-1"], "InstanceOSUser": "ec2-user", "SSHPublicKey": KEY}
    assert push(**good)["Success"]
    assert code_of(push, **{**good, "InstanceOSUser": "root"}) == "AccessDeniedException"
    assert code_of(push, **{**good, "InstanceId": instance_ids["app-1"]}) == "AccessDeniedException"


def test_a_connect_policy_manages_nothing(ann: Any, endpoint: dict[str, Any]) -> None:
    delete = boto3.client("ec2", **ann).delete_instance_connect_endpoint
    given = {"InstanceConnectEndpointId": endpoint["InstanceConnectEndpointId"]}
    assert code_of(delete, **given) == "UnauthorizedOperation"


def test_an_admin_makes_and_deletes_and_does_not_connect(
    eicctl: Eicctl, emulator: Emulator, subnet_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eicctl.core.errors import DeniedError

    keys = user_by(eicctl, "adm", "admin", "--account", "123456789012", "--region", "us-east-1")
    become(monkeypatch, keys)
    made = eicctl("create-endpoint", "--subnet-id", subnet_id, "--name", "office", "--wait")
    assert made.code == 0, made.err
    row: Any = boto3.client("ec2").describe_instance_connect_endpoints()["InstanceConnectEndpoints"][0]
    with pytest.raises(DeniedError):
        dial(keys, row, emulator)
    assert eicctl("delete-endpoint", row["InstanceConnectEndpointId"], "--yes", "--wait").code == 0


def test_an_auditor_only_reads(eicctl: Eicctl, endpoint: dict[str, Any]) -> None:
    keys = user_by(eicctl, "aud", "auditor")
    events = boto3.client("cloudtrail", **keys).lookup_events()["Events"]
    assert [event["EventName"] for event in events] == ["CreateInstanceConnectEndpoint"]
    client = boto3.client("ec2", **keys)
    assert client.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]
    given = {"InstanceConnectEndpointId": endpoint["InstanceConnectEndpointId"]}
    assert code_of(client.delete_instance_connect_endpoint, **given) == "UnauthorizedOperation"


def test_wrong_combinations_are_usage_errors(eicctl: Eicctl) -> None:
    for words in (("auditor", "--os-user", "root"), ("connect", "--port", "5432"), ("connect", "--instance-tag", "a")):
        ran = eicctl("policy", *words)
        assert (ran.code, ran.out) == (2, "")
        assert "error: " in ran.err


def test_policies_are_written_without_credentials(home: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from eicctl import cli

    assert cli.main(["--region", "eu-west-1", "policy", "connect", "--port", "22"]) == 0
    assert "arn:aws:ec2:eu-west-1:*:instance-connect-endpoint/*" in capsys.readouterr().out


def test_lint_tells_and_counts_by_its_exit_code(eicctl: Eicctl, tmp_path: Any) -> None:
    path = tmp_path / "policy.json"
    path.write_text(eicctl("policy", "connect", "--port", "22").out)
    ran = eicctl("policy", "lint", str(path), "--output", "json")
    assert ran.code == 1
    assert {row["Statement"] for row in json.loads(ran.out)} == {"OpenTunnel"}
    lines = eicctl("policy", "lint", str(path)).out.splitlines()
    assert lines[:2] == [
        "warning OpenTunnel: OpenTunnel is allowed through every endpoint",
        "  → name the endpoint in Resource",
    ]
    path.write_text(eicctl("policy", "admin").out)
    assert eicctl("policy", "lint", str(path)).code == 0
    ran = eicctl("policy", "lint", str(tmp_path / "none.json"))
    assert (ran.code, ran.err) == (2, f"error: Cannot read {tmp_path / 'none.json'}: No such file or directory\n")


def statuses(ran: Ran) -> dict[str, tuple[str, str]]:
    return {row["Action"].partition(":")[2]: (row["Status"], row["Reason"]) for row in json.loads(ran.out)}


def check(eicctl: Eicctl, *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    ran = eicctl("policy", "check", *words, "--output", "json")
    return ran.code, statuses(ran)


def test_check_names_the_condition_that_stops(
    eicctl: Eicctl, ann: Any, instance_ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = boto3.client("iam")
    simulate = json.dumps({"Version": "2012-10-17", "Statement": [allow("iam:SimulatePrincipalPolicy")]})
    iam.put_user_policy(UserName="ann", PolicyName="ask", PolicyDocument=simulate)
    become(monkeypatch, ann)
    code, found = check(eicctl, "web-1", "--os-user", "ec2-user")
    assert code == 0, found
    assert found["OpenTunnel"][0] == "allowed"
    assert "900 s is allowed" in found["OpenTunnel"][1]
    assert found["SendSSHPublicKey"][0] == "allowed"
    code, found = check(eicctl, "web-1", "--max-tunnel-duration", "3600", "--os-user", "root")
    assert code == 4
    assert "maxTunnelDuration" in found["OpenTunnel"][1]
    assert "ec2:osuser" in found["SendSSHPublicKey"][1]
    code, found = check(eicctl, "web-1", "--port", "3389", "--max-tunnel-duration", "900")
    assert (code, found["OpenTunnel"][0]) == (4, "denied")
    assert "remotePort: port 22 is allowed" in found["OpenTunnel"][1]
    code, found = check(eicctl, "app-1", "--os-user", "ec2-user")
    assert found["SendSSHPublicKey"][0] == "denied"


def test_check_says_unknown_to_who_may_not_ask(
    eicctl: Eicctl, ann: Any, instance_ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, ann)
    code, found = check(eicctl, "web-1")
    assert code == 0
    assert {status for status, _ in found.values()} == {"unknown"}


def test_check_does_not_call_denied_what_depends_on_the_request(
    eicctl: Eicctl, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    near = allow("ec2-instance-connect:OpenTunnel", IpAddress={"aws:SourceIp": "203.0.113.0/24"})
    keys = user_with("ann", near, allow("ec2:Describe*"), allow("iam:Simulate*"))
    become(monkeypatch, keys)
    code, found = check(eicctl, "web-1")
    assert (code, found["OpenTunnel"][0]) == (0, "unknown")
    assert "aws:SourceIp" in found["OpenTunnel"][1]


def test_a_denied_statement_is_named(eicctl: Eicctl, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    deny = {"Effect": "Deny", "Action": "ec2-instance-connect:*", "Resource": "*"}
    become(monkeypatch, user_with("ann", allow("*"), deny))
    code, found = check(eicctl, "web-1")
    assert (code, found["OpenTunnel"]) == (4, ("denied", "explicitly denied by user_ann_p"))
