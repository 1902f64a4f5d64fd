"""`eicctl doctor` on a world in which one thing is wrong: what it names as the cause, and its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from eicctl.emulator.control.backends import sts
from eicctl.emulator.data.sockets import make_context
from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran

Eicctl = Callable[..., Ran]


@dataclass
class World:
    """What a case may break."""

    emulator: Emulator
    ec2: Any
    endpoint: dict[str, Any]
    instance_ids: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    tmp_path: Path

    @property
    def target_group(self) -> str:
        """The security group of web-1."""
        row = self.ec2.describe_instances(InstanceIds=[self.instance_ids["web-1"]])["Reservations"][0]["Instances"][0]
        return str(row["SecurityGroups"][0]["GroupId"])

    @property
    def endpoint_group(self) -> str:
        """The security group of the endpoint."""
        return str(self.endpoint["SecurityGroupIds"][0])


@pytest.fixture
def world(
    emulator: Emulator,
    ec2: Any,
    endpoint: dict[str, Any],
    instance_ids: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> World:
    """A world with an endpoint, in which everything works."""
    return World(emulator, ec2, endpoint, instance_ids, monkeypatch, tmp_path)


def diagnosed(eicctl: Eicctl, *words: str) -> tuple[int, dict[str, Any]]:
    ran = eicctl("doctor", *words, "--output", "json")
    return ran.code, json.loads(ran.out)


def wrong_secret(world: World) -> None:
    world.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")


def no_credentials(world: World) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        world.monkeypatch.delenv(name)


def expired_session(world: World) -> None:
    keys = boto3.client("sts").get_session_token()["Credentials"]
    world.monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    world.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    world.monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    sessions = sts().assumed_roles
    sessions[-1] = replace(sessions[-1], expiration=datetime(2026, 1, 1))


def clock_three_hours_off(world: World) -> None:
    world.emulator.state.behave(clock_offset=10_800.0)


def clock_too_slow_for_tunnels_only(world: World) -> None:
    world.emulator.state.behave(clock_offset=90.0)


def misspelt_region(world: World) -> None:
    """Nothing answers there."""
    world.monkeypatch.setenv("AWS_REGION", "us-esat-1")
    world.monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


def nothing_answers(world: World) -> None:
    world.monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


def stopped(world: World) -> None:
    world.ec2.stop_instances(InstanceIds=[world.instance_ids["web-1"]])


def no_endpoint(world: World) -> None:
    world.ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=world.endpoint["InstanceConnectEndpointId"])


def failed_endpoint(world: World) -> None:
    no_endpoint(world)
    world.emulator.state.behave(fail_create="There are not enough free addresses in the subnet")
    world.ec2.create_instance_connect_endpoint(SubnetId=world.endpoint["SubnetId"])


def other_ca(world: World) -> None:
    folder = world.tmp_path / "ca"
    folder.mkdir()
    world.monkeypatch.setenv("AWS_CA_BUNDLE", str(make_context(folder, "other.example")[1]))


def no_proxy_there(world: World) -> None:
    world.monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")


def no_egress(world: World) -> None:
    group = world.ec2.describe_security_groups(GroupIds=[world.endpoint_group])["SecurityGroups"][0]
    world.ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])


def no_ingress(world: World) -> None:
    group = world.ec2.describe_security_groups(GroupIds=[world.target_group])["SecurityGroups"][0]
    world.ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])


def nothing_listens(world: World) -> None:
    machine = world.emulator.state.machine_of(world.instance_ids["web-1"])
    assert machine
    world.emulator.state.put_machine(replace(machine, kind="service"))


def denied(world: World) -> None:
    body = {"ErrorCode": "AccessDeniedException", "Message": "User is not authorized"}
    world.emulator.add_fault("refuse", status=403, body=body, times=-1)


def expired_for_the_tunnel(world: World) -> None:
    """Credentials that the control plane still takes."""
    body = {"ErrorCode": "ExpiredTokenException", "Message": "The security token included is expired"}
    world.emulator.add_fault("refuse", status=403, body=body, times=-1)


def throttled(world: World) -> None:
    body = {"ErrorCode": "ThrottlingException", "Message": "Rate exceeded"}
    world.emulator.add_fault("refuse", status=429, body=body, times=-1)


def unknown_to_the_data_plane(world: World) -> None:
    body = {"ErrorCode": "ResourceNotFoundException", "Message": "The endpoint does not exist."}
    world.emulator.add_fault("refuse", status=404, body=body, times=-1)


def failing_service(world: World) -> None:
    world.emulator.add_fault("refuse", status=500, body="oops", times=-1)


def too_many_connections(world: World) -> None:
    world.emulator.state.behave(max_connections=0)


def silent(world: World) -> None:
    world.emulator.add_fault("stall", direction="in", times=-1)


CASES = [
    (wrong_secret, "credentials", 4, "AWS rejected the credentials"),
    (no_credentials, "credentials", 4, "No AWS credentials found"),
    (expired_session, "credentials", 4, "The AWS session has expired"),
    (clock_three_hours_off, "clock", 4, "this machine's clock is 3 h behind AWS's"),
    (clock_too_slow_for_tunnels_only, "clock", 4, "s behind AWS's, so AWS rejects"),
    (misspelt_region, "credentials", 3, 'No region named "us-esat-1"'),
    (nothing_answers, "credentials", 5, "Cannot identify the caller"),
    (stopped, "target", 5, "is stopped"),
    (no_endpoint, "endpoint", 3, "has no EC2 Instance Connect Endpoint"),
    (failed_endpoint, "endpoint", 5, "There are not enough free addresses in the subnet"),
    (other_ca, "connectivity", 5, "The certificate of localhost:"),
    (no_proxy_there, "connectivity", 5, "proxy 127.0.0.1:9 cannot be used"),
    (no_egress, "egress", 5, "do not allow traffic to web-1: sg-"),
    (no_ingress, "ingress", 5, "the security groups of web-1 do not allow the endpoint: sg-"),
    (nothing_listens, "tunnel", 5, "nothing responds on port 22"),
    (denied, "permission", 4, "User is not authorized"),
    (expired_for_the_tunnel, "credentials", 4, "The security token included is expired"),
    (throttled, "endpoint", 6, ""),
    (too_many_connections, "endpoint", 6, "has reached its connection limit"),
    (unknown_to_the_data_plane, "endpoint", 3, "The endpoint does not exist."),
    (failing_service, "endpoint", 6, "The service failed: oops"),
    (silent, "tunnel", 5, "does not respond like an SSH server"),
]


@pytest.mark.parametrize(("broken", "key", "code", "sentence"), CASES, ids=[case[0].__name__ for case in CASES])
def test_one_thing_is_wrong(
    eicctl: Eicctl, world: World, broken: Callable[[World], None], key: str, code: int, sentence: str
) -> None:
    broken(world)
    exit_code, found = diagnosed(eicctl, "web-1")
    assert (found["Cause"]["Check"], exit_code) == (key, code)
    assert sentence in found["Cause"]["Summary"]
    assert found["Cause"]["ExitCode"] == code
    assert not found["Passed"]
    failed = next(check for check in found["Checks"] if check["Key"] == key)
    assert failed["Status"] == "failed"
    assert key == "tunnel" or broken is failing_service or failed["Remediation"] or found["Cause"]["Remediation"]
    assert all(check["Status"] == "unknown" for check in found["Checks"] if check["SkippedBecause"])
    stops = [part["Check"] for part in found["Path"] if part["Kind"] == "Step" and part["Blocked"]]
    assert stops == [key]


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        (denied, "OpenTunnel permission"),
        (throttled, "endpoint is available"),
        (expired_for_the_tunnel, "credentials"),
    ],
)
def test_a_refused_tunnel_is_drawn_where_it_is_refused(
    eicctl: Eicctl, world: World, broken: Callable[[World], None], step: str
) -> None:
    """And not at the target, which no byte has got to."""
    broken(world)
    ran = eicctl("doctor", "web-1")
    assert f"✗ {step}  ◀── blocked here" in ran.out
    assert "· skipped: port 22 response" in ran.out
    assert ran.out.count("✗") == 3  # in the list, at the cause, and in the drawing


def test_nothing_is_wrong(eicctl: Eicctl, world: World) -> None:
    code, found = diagnosed(eicctl, "web-1")
    assert code == 0
    assert found["Passed"]
    assert found["Cause"] is None
    assert {check["Status"] for check in found["Checks"]} == {"ok"}
    assert found["Target"] == {
        "Name": "web-1",
        "InstanceId": world.instance_ids["web-1"],
        "PrivateIpAddress": "10.0.1.10",
        "RemotePort": 22,
        "InstanceConnectEndpointId": world.endpoint["InstanceConnectEndpointId"],
        "Region": "us-east-1",
    }
    details = {check["Key"]: check["Details"] for check in found["Checks"]}
    assert details["credentials"]["Arn"] == "arn:aws:iam::123456789012:user/local"
    assert abs(details["clock"]["OffsetSeconds"]) < 30
    assert [stage["Name"] for stage in details["connectivity"]["Stages"]] == ["DNS", "TCP", "TLS"]
    assert details["connectivity"]["Certificate"]["Issuer"] == "eicctl"
    assert details["tunnel"]["Banner"].startswith("SSH-2.0-")
    assert all(seconds > 0 for seconds in details["tunnel"]["Seconds"].values())
    assert [part["Name"] for part in found["Path"] if part["Kind"] == "Node"] == ["you", "endpoint", "target"]


def test_what_credentials_stop_is_left_out(eicctl: Eicctl, world: World) -> None:
    wrong_secret(world)
    _, found = diagnosed(eicctl, "web-1")
    left = {check["Key"]: check["SkippedBecause"] for check in found["Checks"]}
    assert left.pop("credentials") is None
    assert left.pop("clock") is None
    assert set(left.values()) == {"credentials"}
    clock = next(check for check in found["Checks"] if check["Key"] == "clock")
    assert clock["Status"] == "ok"


def test_a_target_in_another_region(eicctl: Eicctl, world: World) -> None:
    code, found = diagnosed(eicctl, "web-1", "--region", "eu-west-1")
    assert code == 3
    assert found["Cause"]["Summary"] == "web-1 is not in eu-west-1, but in us-east-1"
    assert found["Cause"]["Remediation"] == "eicctl doctor web-1 --region us-east-1"
    assert found["Target"] == {"Name": "web-1", "RemotePort": 22}


def test_several_targets(eicctl: Eicctl, world: World) -> None:
    world.ec2.create_tags(Resources=[world.instance_ids["app-1"]], Tags=[{"Key": "Name", "Value": "web-1"}])
    code, found = diagnosed(eicctl, "web-1")
    assert code == 3
    assert all(world.instance_ids[name] in found["Cause"]["Summary"] for name in ("web-1", "app-1"))


def test_an_untrusted_certificate_is_shown(eicctl: Eicctl, world: World) -> None:
    other_ca(world)
    _, found = diagnosed(eicctl, "web-1")
    way = next(check for check in found["Checks"] if check["Key"] == "connectivity")
    assert way["Details"]["FailedStage"] == "TLS"
    assert way["Details"]["Certificate"]["Issuer"] == "eicctl"
    assert "issued by eicctl" in way["Message"]
    assert str(world.tmp_path) in way["Message"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no-such-host.invalid", "Cannot resolve no-such-host.invalid"),
        ("localhost:1", "Cannot connect to localhost:1: Connection refused"),
    ],
)
def test_no_way_to_the_endpoint(eicctl: Eicctl, world: World, name: str, sentence: str) -> None:
    code, found = diagnosed(eicctl, "web-1", "--instance-connect-endpoint-dns-name", name)
    assert code == 5
    assert found["Cause"]["Summary"].startswith(sentence)
    tunnel = next(check for check in found["Checks"] if check["Key"] == "tunnel")
    assert tunnel["SkippedBecause"] == "connectivity"
    ingress = next(check for check in found["Checks"] if check["Key"] == "ingress")
    assert ingress["Status"] == "ok"  # it does not depend on the way


def test_a_network_acl(eicctl: Eicctl, world: World) -> None:
    """app-1 is in another subnet than the endpoint, so the ACL applies."""
    filters = [{"Name": "vpc-id", "Values": [world.endpoint["VpcId"]]}]
    acl = world.ec2.describe_network_acls(Filters=filters)["NetworkAcls"][0]["NetworkAclId"]
    deny = {"RuleNumber": 1, "Protocol": "-1", "RuleAction": "deny", "Egress": True, "CidrBlock": "0.0.0.0/0"}
    world.ec2.create_network_acl_entry(NetworkAclId=acl, **deny)
    code, found = diagnosed(eicctl, "app-1")
    assert (found["Cause"]["Check"], code) == ("network-acls", 5)
    assert f"entry 1 of {acl} denies outbound TCP 22 to 10.0.2.10" in found["Cause"]["Summary"]
    ran = eicctl("doctor", "app-1", "--fix", "--yes")
    assert "No single security-group rule fixes this. Instead: eicctl create-" not in ran.err
    assert "No single security-group rule fixes this" in ran.err


def test_run_on_windows_has_no_key_to_push(eicctl: Eicctl, world: World) -> None:
    ran = eicctl("run", "--target", "win-1", "--", "true")
    assert ran.code == 2
    assert "win-1 is a Windows instance" in ran.err
    assert "hint: eicctl rdp win-1" in ran.err


LOGIN = {"key-permission", "instance-connect", "os-user"}


@pytest.mark.parametrize("words", [(), ("--port", "3389")])
def test_windows_answers_as_an_rdp_server(eicctl: Eicctl, world: World, words: tuple[str, ...]) -> None:
    code, found = diagnosed(eicctl, "win-1", *words)
    assert code == 0
    assert found["Target"]["RemotePort"] == 3389
    checks = {check["Key"]: check for check in found["Checks"]}
    assert "responded (RDP server)" in checks["tunnel"]["Message"]
    assert not LOGIN & checks.keys()
    ran = eicctl("doctor", "win-1", *words)
    assert "port 3389 response" in ran.out
    assert not any(word in ran.out for word in ("OS user", "ec2-user", "port 22"))


def test_ssh_on_windows_takes_no_pushed_key(eicctl: Eicctl, world: World) -> None:
    _, found = diagnosed(eicctl, "win-1", "--port", "22")
    assert found["Target"]["RemotePort"] == 22
    assert not LOGIN & {check["Key"] for check in found["Checks"]}


def test_the_rule_for_windows_is_for_its_port(eicctl: Eicctl, world: World) -> None:
    row = world.ec2.describe_instances(InstanceIds=[world.instance_ids["win-1"]])["Reservations"][0]["Instances"][0]
    group = world.ec2.describe_security_groups(GroupIds=[row["SecurityGroups"][0]["GroupId"]])["SecurityGroups"][0]
    world.ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
    code, found = diagnosed(eicctl, "win-1")
    assert (found["Cause"]["Check"], code) == ("ingress", 5)
    assert "--port 3389" in found["Cause"]["Remediation"]
    assert found["Cause"]["Change"]["Parameters"]["IpPermissions"][0]["FromPort"] == 3389
    ran = eicctl("doctor", "win-1", "--fix", "--yes")
    assert (ran.code, "allow TCP 3389 from" in ran.err) == (0, True)


def test_an_os_user_that_the_image_does_not_have(eicctl: Eicctl, world: World) -> None:
    code, found = diagnosed(eicctl, "app-1", "--user", "ec2-user")
    assert code == 0  # somebody may have made it
    user = next(check for check in found["Checks"] if check["Key"] == "os-user")
    assert user["Status"] == "unknown"
    assert user["Remediation"] == "--os-user ubuntu"


def test_client_ip_preservation_looks_at_the_callers_address(eicctl: Eicctl, world: World) -> None:
    world.ec2.modify_instance_connect_endpoint(
        InstanceConnectEndpointId=world.endpoint["InstanceConnectEndpointId"], PreserveClientIp=True
    )
    world.emulator.state.behave(client_ip="203.0.113.7")
    code, found = diagnosed(eicctl, "web-1", "--client-address", "203.0.113.7")
    assert (found["Cause"]["Check"], code) == ("ingress", 5)
    assert "your address 203.0.113.7" in found["Cause"]["Summary"]
    world.ec2.authorize_security_group_ingress(
        GroupId=world.target_group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}],
    )
    assert diagnosed(eicctl, "web-1", "--client-address", "203.0.113.7")[0] == 0


def test_without_a_target(eicctl: Eicctl, world: World) -> None:
    code, found = diagnosed(eicctl)
    assert code == 0
    assert [check["Key"] for check in found["Checks"]] == [
        "credentials",
        "clock",
        "region",
        "endpoints",
        "connectivity",
    ]
    assert found["Target"] is None
    assert found["Path"] == []
    other_ca(world)
    code, found = diagnosed(eicctl)
    assert (found["Cause"]["Check"], code) == ("connectivity", 5)
    no_endpoint(world)
    code, found = diagnosed(eicctl)
    assert (found["Cause"]["Check"], code) == ("endpoints", 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["web-1", "--fix", "--undo"], "--fix and --undo are mutually exclusive"),
        (["web-1", "--dry-run"], "--dry-run requires"),
        (["--fix"], "--fix requires a target"),
        (["web-1", "--port", "5432"], "only ports 22 and 3389"),
    ],
)
def test_bad_words(eicctl: Eicctl, words: list[str], said: str) -> None:
    ran = eicctl("doctor", *words)
    assert ran.code == 2
    assert said in ran.err


def test_the_list_is_in_order_and_names_the_cause(eicctl: Eicctl, world: World) -> None:
    no_ingress(world)
    ran = eicctl("doctor", "web-1")
    assert ran.code == 5
    titles = [
        "Credentials",
        "Clock",
        "Region",
        "Target",
        "Endpoint",
        "Endpoint connectivity",
        "Egress",
        "Ingress",
        "Tunnel test",
    ]
    places = [ran.out.index(f" {title} ") for title in titles]
    assert places == sorted(places)
    assert "✗ The security groups of web-1 do not allow the endpoint" in ran.out
    assert "Run: aws ec2 authorize-security-group-ingress --group-id" in ran.out
    assert f"│  ✗ target ingress  {world.target_group}  ◀── blocked here" in ran.out
    assert "\x1b" not in ran.out


def test_text_is_a_line_a_check(eicctl: Eicctl, world: World) -> None:
    ran = eicctl("doctor", "web-1", "--output", "text")
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert {row[1] for row in rows} == {"ok"}
    assert rows[0][0] == "credentials"
    assert all(len(row) == 4 for row in rows)


def test_names_cannot_steer_a_terminal(eicctl: Eicctl, world: World) -> None:
    world.ec2.create_tags(Resources=[world.instance_ids["web-1"]], Tags=[{"Key": "Name", "Value": "web\x9b2J"}])
    ran = eicctl("doctor", world.instance_ids["web-1"])
    assert "\x9b" not in ran.out
    assert r"web\x9b2J" in ran.out
