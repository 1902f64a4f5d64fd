"""`eicctl policy connect --from-audit`: the local AWS enforces what was derived from its own records."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import hcl2
import pytest
from botocore.exceptions import ClientError

from eicctl.aws import cloudtrail
from eicctl.core.errors import DeniedError
from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran
from tests.integration.test_emulator_access import KEY
from tests.integration.test_emulator_policies import allow, dial, user_with
from tests.trail_records import START, key, tunnel, write_log

Eicctl = Callable[..., Ran]

OPEN, PUSH = "ec2-instance-connect:OpenTunnel", "ec2-instance-connect:SendSSHPublicKey"
NEAR, FAR = "198.51.100.7", "198.51.100.9"


@pytest.fixture(autouse=True)
def unpaced(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CloudTrail without a limit."""
    emulator.state.behave(lookup_rate=0.0)
    monkeypatch.setattr(cloudtrail, "INTERVAL", 0.0)
    monkeypatch.setattr(cloudtrail, "_paces", {})


@dataclass(frozen=True)
class Target:
    """A tunnel: where to, for how long, from where; `os_user` and `name` for a pushed key."""

    address: str = "10.0.1.10"
    port: int = 22
    duration: int | None = 600
    source: str = NEAR


TUNNELS = (
    Target(),
    Target("10.0.1.11", duration=900),
    Target("10.0.2.10", source=FAR),
    Target("10.0.1.30", 3389, 3600),
)


class Caller:
    """A user with a key, and what it does at the endpoint."""

    def __init__(self, emulator: Emulator, endpoint: dict[str, Any], instance_ids: dict[str, str], keys: Any) -> None:
        self._emulator = emulator
        self._endpoint = endpoint
        self._ids = instance_ids
        self._keys = keys

    def opens(self, target: Target, endpoint: dict[str, Any] | None = None) -> bool:
        self._emulator.state.behave(client_ip=target.source)
        more = {"address": target.address, "port": target.port, "duration": target.duration}
        try:
            dial(self._keys, endpoint or self._endpoint, self._emulator, **more)
        except DeniedError:
            return False
        finally:
            self._emulator.state.behave(client_ip="")
        return True

    def pushes(self, name: str, os_user: str, source: str = NEAR) -> bool:
        self._emulator.state.behave(client_ip=source)
        push = boto3.client("ec2-instance-connect", **self._keys).send_ssh_public_key
        code = ""
        try:
            push(InstanceId=self._ids[name], InstanceOSUser=os_user, SSHPublicKey=KEY)
        except ClientError as error:
            code = error.response["Error"]["Code"]
        self._emulator.state.behave(client_ip="")
        assert code in ("", "AccessDeniedException")
        return not code


@pytest.fixture
def ann(emulator: Emulator, endpoint: dict[str, Any], instance_ids: dict[str, str]) -> Caller:
    """A user who may do everything, has opened `TUNNELS` and pushed two keys, and was refused once."""
    deny = {"Effect": "Deny", "Action": PUSH, "Resource": "*", "Condition": {"StringEquals": {"ec2:osuser": "root"}}}
    find = {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}
    keys = user_with("ann", allow("ec2-instance-connect:*"), find, deny)
    caller = Caller(emulator, endpoint, instance_ids, keys)
    assert all(caller.opens(target) for target in TUNNELS)
    assert caller.pushes("web-1", "ec2-user")
    assert caller.pushes("app-1", "ubuntu", FAR)
    assert not caller.pushes("web-1", "root")
    return caller


def attach(policy: dict[str, Any]) -> None:
    boto3.client("iam").put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=json.dumps(policy))


def derived(eicctl: Eicctl, *words: str) -> tuple[dict[str, Any], str]:
    ran = eicctl("policy", "connect", "--from-audit", *words)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found, ran.err


def test_all_that_was_recorded_passes_again_and_what_differs_is_denied(
    eicctl: Eicctl, ec2: Any, emulator: Emulator, ann: Caller
) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet)["InstanceConnectEndpoint"]["InstanceConnectEndpointId"]
    described = ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[made])
    other = described["InstanceConnectEndpoints"][0]
    policy, told = derived(eicctl, "--user", "ann", "--source-ip")
    assert "user ann: tunnels: 4, pushed keys: 2\n" in told
    assert "refused calls are not included: 1" in told
    assert "behind a NAT" in told
    attach(policy)
    assert all(ann.opens(target) for target in TUNNELS)
    assert ann.opens(Target(duration=60))
    for changed in (
        Target(port=3389),
        Target("10.0.1.30", 22),
        Target("10.0.1.9"),
        Target("10.0.1.12"),
        Target("10.0.2.11", source=FAR),
        Target(duration=601),
        Target(duration=None),
        Target("10.0.1.11", duration=901),
        Target(source=FAR),
        Target(source="198.51.100.8"),
    ):
        assert not ann.opens(changed), changed
    assert not ann.opens(Target(), other)
    assert ann.pushes("web-1", "ec2-user")
    assert ann.pushes("app-1", "ubuntu", FAR)
    for words in (("web-1", "root"), ("web-1", "ubuntu"), ("app-1", "ec2-user"), ("app-1", "ubuntu", NEAR)):
        assert not ann.pushes(*words)


def test_the_bound_folds_addresses_and_is_shown(eicctl: Eicctl, ann: Caller) -> None:
    policy, told = derived(eicctl, "--max-unused", "6")
    assert "unused addresses" not in told  # with different durations, statements of their own
    attach(policy)
    assert not ann.opens(Target("10.0.1.12"))
    for address in ("10.0.1.12", "10.0.1.15"):  # recorded later
        attach({"Version": "2012-10-17", "Statement": [allow("*")]})
        assert ann.opens(Target(address))
    exact, _ = derived(eicctl, "--max-unused", "4")
    policy, told = derived(eicctl, "--max-unused", "5")
    assert "note: ranges cover 5 unused addresses: 10.0.1.8/29 (5)" in told
    for document, unused in ((policy, True), (exact, False)):
        attach(document)
        assert all(ann.opens(target) for target in TUNNELS)
        assert ann.opens(Target("10.0.1.9")) is unused
        assert not ann.opens(Target("10.0.1.16"))
        assert not ann.opens(Target("10.0.1.7"))


def test_a_tag_names_instances(eicctl: Eicctl, ec2: Any, instance_ids: dict[str, str], ann: Caller) -> None:
    ec2.create_tags(Resources=[instance_ids["web-1"]], Tags=[{"Key": "Team", "Value": "web"}])
    policy, _ = derived(eicctl, "--instance-tag", "Team")
    attach(policy)
    assert ann.pushes("web-1", "ec2-user")
    assert ann.pushes("app-1", "ubuntu")
    ec2.delete_tags(Resources=[instance_ids["web-1"]], Tags=[{"Key": "Team"}])
    assert not ann.pushes("web-1", "ec2-user")
    assert ann.pushes("app-1", "ubuntu")


def test_all_regions_are_read(eicctl: Eicctl, emulator: Emulator, ann: Caller) -> None:
    abroad = boto3.client("ec2", region_name="eu-west-1")
    subnet = abroad.describe_subnets()["Subnets"][0]["SubnetId"]
    abroad.create_instance_connect_endpoint(SubnetId=subnet)
    other: Any = abroad.describe_instance_connect_endpoints()["InstanceConnectEndpoints"][0]
    assert ann.opens(Target("10.0.9.9"), other)
    here, _ = derived(eicctl)
    everywhere, told = derived(eicctl, "--all-regions")
    assert " regions since " in told
    for policy, allowed in ((here, False), (everywhere, True)):
        attach(policy)
        assert all(ann.opens(target) for target in TUNNELS)
        assert ann.opens(Target("10.0.9.9"), other) is allowed
    assert not ann.opens(Target("10.0.9.9"))


def test_the_diff_has_what_todays_policies_allow_beyond_it(eicctl: Eicctl, ann: Caller, tmp_path: Path) -> None:
    ran = eicctl("policy", "connect", "--from-audit", "--user", "ann", "--diff")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[:3] == ["--- current: user ann", "+++ used", "@@ p #1: OpenTunnel, 4 calls @@"]
    assert "- endpoint     any" in lines
    assert "- address      any" in lines
    assert "+ address      10.0.1.10/31" in lines
    assert "- duration     up to 3600 s, not required" in lines
    assert "+ duration     up to 3600 s" in lines
    assert "@@ p #1: SendSSHPublicKey, 2 calls @@" in lines
    assert "+ OS user      ec2-user" in lines
    assert "- OS user      any but root" in lines
    assert "permissions boundaries and the organization's policies may allow less" in ran.err
    words = ("policy", "connect", "--from-audit", "--user", "ann", "--diff", "--output", "json")
    ran = eicctl(*words)
    assert ran.code == 1
    tunnels, keys = json.loads(ran.out)
    assert tunnels["PrincipalArn"].endswith(":user/ann")
    assert [one[key] for one in (tunnels, keys) for key in ("Statement", "Action", "Calls", "AllowsMore")] == [
        *("p #1", "OpenTunnel", 4, True),
        *("p #1", "SendSSHPublicKey", 2, True),
    ]
    assert {"Name": "port", "Allowed": ["22", "3389"], "Used": ["22", "3389"]} in tunnels["Dimensions"]
    ran = eicctl(*words[:-1], "text", "--query", "[?AllowsMore].[Statement, Action]")
    assert ran.out == "p #1\tOpenTunnel\np #1\tSendSSHPublicKey\n"
    attach(derived(eicctl, "--user", "ann")[0])
    ran = eicctl("policy", "connect", "--from-audit", "--user", "ann", "--diff")
    assert (ran.code, ran.out) == (0, "")
    assert "allow nothing beyond what was used" in ran.err
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allow(OPEN, NumericEquals={"x": "1"})]}))
    ran = eicctl("policy", "connect", "--from-audit", "--diff", "--policy", str(path))
    assert ran.code == 1
    assert "also requires NumericEquals x; the derived policy does not" in ran.err


def test_the_diff_reads_the_policies_of_roles_and_groups(eicctl: Eicctl, emulator: Emulator, tmp_path: Path) -> None:
    iam = boto3.client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow(OPEN)]})
    arn = iam.create_policy(PolicyName="managed", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_user(UserName="bob")
    iam.create_group(GroupName="ops")
    iam.add_user_to_group(UserName="bob", GroupName="ops")
    iam.put_group_policy(GroupName="ops", PolicyName="own", PolicyDocument=document)
    iam.attach_group_policy(GroupName="ops", PolicyArn=arn)
    iam.attach_user_policy(UserName="bob", PolicyArn=arn)
    iam.create_role(RoleName="dev", AssumeRolePolicyDocument=document)
    iam.put_role_policy(RoleName="dev", PolicyName="own", PolicyDocument=document)
    iam.attach_role_policy(RoleName="dev", PolicyArn=arn)
    log = write_log(tmp_path / "log.json", [tunnel(START, who="bob", mfa=None), tunnel(START, who="dev/eve")])
    ran = eicctl("policy", "connect", "--from-audit", "--from", str(log), "--diff")
    assert ran.code == 1, ran.err
    headers = [line for line in ran.out.splitlines() if line.startswith(("@@", "---"))]
    assert [line.split(":")[0].removesuffix(" #1") for line in headers] == [
        *("--- current", "@@ own", "@@ managed"),
        *("--- current", "@@ managed", "@@ ops/own", "@@ ops/managed"),
    ]


def test_log_files_of_several_need_no_credentials(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from eicctl import cli

    web, db = "i-0123456789abcdef0", "i-0123456789abcdef1"
    records = [
        key(START, web, who="ann", mfa=None),
        tunnel(START, who="ann", mfa=None, duration="600"),
        tunnel(START, "10.0.1.20", who="dev/eve", duration="600"),
        key(START, db, "ubuntu", who="dev/bob"),
        tunnel(START, who="dev/eve", error="AccessDenied", port="3389"),
    ]
    write_log(tmp_path / "log.json.gz", records)
    words = ["policy", "connect", "--from-audit", "--from", str(tmp_path / "log.json.gz")]
    assert cli.main(words) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert list(found) == ["arn:aws:iam::123456789012:role/dev", "arn:aws:iam::123456789012:user/ann"]
    assert "note: role dev: SSH tunnels without a pushed key: 1." in captured.err
    assert cli.main([*words, "--format", "terraform"]) == 0
    terraform = capsys.readouterr().out
    names = [name for one in hcl2.loads(terraform)["resource"] for named in one.values() for name in named]
    assert [name.strip('"') for name in names] == ["eicctl_connect_role_dev", "eicctl_connect_user_ann"]
    assert cli.main([*words, "--format", "cloudformation"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "template.json").write_text(text)
    lint = Path(sys.executable).with_name("cfn-lint")
    linted = subprocess.run([lint, tmp_path / "template.json"], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout
    template = json.loads(text)
    assert set(template["Resources"]) == {"EicctlConnectRoleDev", "EicctlConnectUserAnn"}
    assert cli.main([*words, "--user", "dev/eve"]) == 0
    captured = capsys.readouterr()
    assert "other sessions of the role dev" in captured.err
    assert [one["Sid"] for one in json.loads(captured.out)["Statement"]] == ["OpenTunnel", "Find"]
    (tmp_path / "log.json").write_text('{"Records": [')
    words[-1] = str(tmp_path)
    assert cli.main(words) == 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--user", "ann"), 2, "--user requires --from-audit"),
        (("--source-ip",), 2, "'--source-ip' requires a range"),
        (("--from-audit", "--port", "22"), 2, "--port and --from-audit cannot be combined"),
        (("--from-audit", "--account", "123456789012"), 2, "--account and --from-audit cannot be combined"),
        (("--from-audit", "--source-ip", "203.0.113.0/24"), 2, "--source-ip RANGE and --from-audit"),
        (("--from-audit", "--instance-tag", "a=b"), 2, "takes one --instance-tag KEY"),
        (("--from-audit", "--policy", "x"), 2, "--policy requires --diff"),
        (("--from-audit", "--diff", "--format", "terraform"), 2, "--diff cannot be combined"),
        (("--from-audit", "--query", "[]"), 2, "--output and --query require --diff"),
        (("--output", "json"), 2, "--output requires --from-audit"),
        (("--from-audit", "--all-regions", "--from", "x"), 2, "--all-regions is for the event history"),
        (("--from-audit", "--since", "2999-01-01"), 2, "--since must be before now"),
        (("--from-audit", "--user", "nobody"), 3, "No recorded tunnels or pushed keys match"),
    ],
)
def test_what_does_not_go_together_is_refused(eicctl: Eicctl, words: tuple[str, ...], code: int, text: str) -> None:
    ran = eicctl("policy", "connect", *words)
    assert (ran.code, ran.out) == (code, "")
    assert text in ran.err


def test_policies_of_others_are_an_error_with_a_way_out(eicctl: Eicctl, emulator: Emulator, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.json", [tunnel(START, who="gone", mfa=None)])
    ran = eicctl("policy", "connect", "--from-audit", "--from", str(log), "--diff")
    assert ran.code == 3
    assert "Cannot read the policies of the user gone" in ran.err
    assert "--policy FILE" in ran.err
