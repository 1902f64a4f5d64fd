"""The endpoint commands, as typed, against the emulator."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eicctl import ConflictError, EicctlError, create_endpoint
from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran
from tests.terminal import exit_code, terminal

Eicctl = Callable[..., Ran]


def created(eicctl: Eicctl, *words: str) -> dict[str, Any]:
    done = eicctl("create-endpoint", "--output", "json", *words)
    assert done.code == 0, done.err
    row: dict[str, Any] = json.loads(done.out)
    return row


def test_create_with_all_options(eicctl: Eicctl, ec2: Any, subnet_id: str) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    words = [
        "--subnet-id",
        subnet_id,
        "--security-group-id",
        group,
        "--preserve-client-ip",
        "--ip-address-type",
        "ipv4",
    ]
    row = created(eicctl, *words, "--tag", "team=web", "--name", "office", "--wait")
    assert row["State"] == "create-complete"
    assert row["SecurityGroupIds"] == [group]
    assert row["PreserveClientIp"] is True
    assert {tag["Key"]: tag["Value"] for tag in row["Tags"]} == {"team": "web", "Name": "office"}


def test_without_a_subnet_it_chooses_and_says_why(eicctl: Eicctl) -> None:
    done = eicctl("create-endpoint", "--output", "json")
    assert done.code == 0
    assert "2 running instances, most in vpc-" in done.err
    assert json.loads(done.out)["AvailabilityZone"] == "us-east-1b"


def test_several_vpcs_are_listed(eicctl: Eicctl, ec2: Any) -> None:
    ec2.create_vpc(CidrBlock="10.9.0.0/16")
    done = eicctl("create-endpoint")
    assert done.code == 3
    assert "10.9.0.0/16" in done.err
    assert "--vpc-id" in done.err


def test_an_endpoint_that_is_there(eicctl: Eicctl) -> None:
    first = created(eicctl)
    done = eicctl("create-endpoint")
    assert done.code == 6
    assert f"already has endpoint {first['InstanceConnectEndpointId']} (create-complete)" in done.err
    assert "hint: eicctl create-endpoint --if-not-exists --region us-east-1" in done.err
    again = created(eicctl, "--if-not-exists")
    assert again["InstanceConnectEndpointId"] == first["InstanceConnectEndpointId"]


def test_the_same_again_after_a_deletion(eicctl: Eicctl) -> None:
    """EC2 repeats its old response for an old ClientToken, so each run has a new one."""
    first = created(eicctl)["InstanceConnectEndpointId"]
    assert eicctl("delete-endpoint", first, "--yes", "--wait").code == 0
    second = created(eicctl)["InstanceConnectEndpointId"]
    assert second != first
    assert eicctl("show-endpoint", second).code == 0


def test_a_group_of_its_own(eicctl: Eicctl, ec2: Any) -> None:
    targets = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["targets"]}])["SecurityGroups"][0]
    row = created(eicctl, "--create-security-group", "--allow-to", targets["GroupId"], "--name", "office")
    group = ec2.describe_security_groups(GroupIds=row["SecurityGroupIds"])["SecurityGroups"][0]
    egress = {(rule["FromPort"], rule["IpRanges"][0]["CidrIp"]) for rule in group["IpPermissionsEgress"]}
    assert egress == {(22, "10.0.0.0/16"), (3389, "10.0.0.0/16")}
    admitted = ec2.describe_security_groups(GroupIds=[targets["GroupId"]])["SecurityGroups"][0]["IpPermissions"]
    pairs = {(rule["FromPort"], pair["GroupId"]) for rule in admitted for pair in rule["UserIdGroupPairs"]}
    assert pairs == {(22, group["GroupId"]), (3389, group["GroupId"])}


def test_egress_is_to_the_ranges_that_the_vpc_has(eicctl: Eicctl, ec2: Any) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.77.0.0/16")
    gone = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.78.0.0/16")["CidrBlockAssociation"]
    gone6 = ec2.associate_vpc_cidr_block(VpcId=vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    ec2.disassociate_vpc_cidr_block(AssociationId=gone["AssociationId"])
    ec2.disassociate_vpc_cidr_block(AssociationId=gone6["AssociationId"])
    row = created(eicctl, "--create-security-group")
    group = ec2.describe_security_groups(GroupIds=row["SecurityGroupIds"])["SecurityGroups"][0]
    ranges = [[each["CidrIp"] for each in rule["IpRanges"]] for rule in group["IpPermissionsEgress"]]
    assert ranges == [["10.0.0.0/16", "10.77.0.0/16"]] * 2
    assert not any(rule["Ipv6Ranges"] for rule in group["IpPermissionsEgress"])


def groups_of(ec2: Any, **filters: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ec2.describe_security_groups(
        Filters=[{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
    )["SecurityGroups"]
    return rows


CREATE = ("--create-security-group", "--name", "office", "--subnet-id")


def test_create_delete_create(eicctl: Eicctl, ec2: Any, subnet_id: str) -> None:
    targets = groups_of(ec2, group_name="targets")[0]
    allow = ("--allow-to", targets["GroupId"])
    for _ in range(2):
        row = created(eicctl, *CREATE, subnet_id, *allow, "--wait")
        (group,) = groups_of(ec2, group_name=f"office-{subnet_id}")
        assert row["SecurityGroupIds"] == [group["GroupId"]]
        assert {"Key": "eicctl:managed", "Value": "true"} in group["Tags"]
        done = eicctl("delete-endpoint", "office", "--yes")
        assert done.code == 0, done.err
        assert f"Deleted security group {group['GroupId']} (office-{subnet_id})" in done.err
        assert groups_of(ec2, group_name=f"office-{subnet_id}") == []
        assert groups_of(ec2, group_name="targets")[0]["IpPermissions"] == targets["IpPermissions"]


@pytest.mark.parametrize("keep", ["--keep-security-group", "--no-wait"])
def test_a_group_that_was_kept_is_reused(eicctl: Eicctl, ec2: Any, subnet_id: str, keep: str) -> None:
    targets = groups_of(ec2, group_name="targets")[0]["GroupId"]
    first = created(eicctl, *CREATE, subnet_id, "--allow-to", targets)
    (group_id,) = first["SecurityGroupIds"]
    done = eicctl("delete-endpoint", "office", "--yes", keep)
    assert done.code == 0
    assert f"Kept security group {group_id} (office-{subnet_id}), created by eicctl" in done.err
    assert f"hint: aws ec2 delete-security-group --group-id {group_id} --region us-east-1" in done.err
    before = ec2.describe_security_groups(GroupIds=[group_id, targets])["SecurityGroups"]
    assert f"Would reuse security group {group_id}" in eicctl("create-endpoint", *CREATE, subnet_id, "--dry-run").out
    again = eicctl("create-endpoint", *CREATE, subnet_id, "--allow-to", targets, "--output", "json")
    assert again.code == 0, again.err
    assert f"Reusing security group {group_id}" in again.err
    assert json.loads(again.out)["SecurityGroupIds"] == [group_id]
    assert ec2.describe_security_groups(GroupIds=[group_id, targets])["SecurityGroups"] == before


def test_a_group_of_somebody_else_with_that_name(eicctl: Eicctl, ec2: Any, subnet_id: str) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName=f"office-{subnet_id}", Description="theirs", VpcId=vpc)["GroupId"]
    for more in ((), ("--dry-run",)):
        done = eicctl("create-endpoint", *CREATE, subnet_id, *more)
        assert done.code == 6
        assert "was not created by eicctl" in done.err
        hint = f"eicctl create-endpoint --subnet-id {subnet_id} --security-group-id {group} --region us-east-1"
        assert f"hint: {hint}" in done.err
    row = created(eicctl, "--subnet-id", subnet_id, "--security-group-id", group)
    assert "ecurity group" not in eicctl("delete-endpoint", row["InstanceConnectEndpointId"], "--yes").err
    assert groups_of(ec2, group_id=group)


def test_a_group_that_something_else_uses_is_kept(eicctl: Eicctl, ec2: Any, subnet_id: str) -> None:
    (group_id,) = created(eicctl, *CREATE, subnet_id)["SecurityGroupIds"]
    targets = groups_of(ec2, group_name="targets")[0]["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": group_id}]}
    ec2.authorize_security_group_ingress(GroupId=targets, IpPermissions=[rule])
    interface = ec2.create_network_interface(SubnetId=subnet_id, Groups=[group_id])["NetworkInterface"]
    done = eicctl("delete-endpoint", "office", "--yes", "--wait")
    assert done.code == 0, done.err
    used = f"used by {interface['NetworkInterfaceId']}, a rule of {targets}"
    assert f"Kept security group {group_id} (office-{subnet_id}), created by eicctl; {used}" in done.err
    assert groups_of(ec2, group_id=group_id)


def test_what_a_deletion_would_do(eicctl: Eicctl, ec2: Any, subnet_id: str) -> None:
    targets = groups_of(ec2, group_name="targets")[0]["GroupId"]
    row = created(eicctl, *CREATE, subnet_id, "--allow-to", targets)
    (group_id,) = row["SecurityGroupIds"]
    done = eicctl("delete-endpoint", "office", "--dry-run")
    assert done.out.splitlines() == [
        f"Would call DeleteInstanceConnectEndpoint {row['InstanceConnectEndpointId']}",
        f"Would call RevokeSecurityGroupIngress of the rules from {group_id} in {targets}",
        f"Would call DeleteSecurityGroup {group_id} (office-{subnet_id})",
    ]
    assert eicctl("show-endpoint", "office").code == 0


def test_a_caller_who_may_not_look_at_groups(eicctl: Eicctl, emulator: Emulator, subnet_id: str) -> None:
    created(eicctl, *CREATE, subnet_id)
    emulator.state.behave(denied="DescribeSecurityGroups")
    done = eicctl("delete-endpoint", "office", "--yes")
    assert done.code == 0, done.err
    assert "Security groups are kept" in done.err


def test_reads_that_lag_behind(eicctl: Eicctl, emulator: Emulator, ec2: Any, subnet_id: str) -> None:
    """EC2 is eventually consistent: what was just created is not seen at once, and an interface stays for a while."""
    targets = groups_of(ec2, group_name="targets")[0]["GroupId"]
    emulator.state.behave(lag=3.0)
    row = created(eicctl, *CREATE, subnet_id, "--allow-to", targets, "--wait")
    assert row["State"] == "create-complete"
    assert len(emulator.state.endpoints()) == 1
    done = eicctl("delete-endpoint", "office", "--yes")
    assert done.code == 0, done.err
    assert "Deleted security group" in done.err
    assert groups_of(ec2, group_name=f"office-{subnet_id}") == []


def test_a_group_that_stays_in_use(eicctl: Eicctl, emulator: Emulator, subnet_id: str) -> None:
    (group_id,) = created(eicctl, *CREATE, subnet_id)["SecurityGroupIds"]
    emulator.state.behave(lag=3600.0)
    emulator.state._created.clear()
    done = eicctl("delete-endpoint", "office", "--yes", "--timeout", "1")
    assert done.code == 6
    assert f"Cannot delete the security group {group_id}" in done.err
    assert f"hint: aws ec2 delete-security-group --group-id {group_id}" in done.err


def test_one_is_still_being_deleted(eicctl: Eicctl, emulator: Emulator, subnet_id: str) -> None:
    first = created(eicctl, "--subnet-id", subnet_id, "--name", "office")["InstanceConnectEndpointId"]
    emulator.state.behave(transition=4.0)
    assert eicctl("delete-endpoint", "office", "--yes").code == 0
    done = eicctl("create-endpoint", "--subnet-id", subnet_id, "--name", "office")
    assert done.code == 6
    assert f"Endpoint {first} of the VPC is still being deleted" in done.err
    assert f"hint: eicctl create-endpoint --subnet-id {subnet_id} --name office --wait --region us-east-1" in done.err
    again = created(eicctl, "--subnet-id", subnet_id, "--name", "office", "--wait")
    assert (again["State"], again["InstanceConnectEndpointId"] == first) == ("create-complete", False)


def on_terminal(width: int, *words: str, answers: Sequence[str] = ()) -> tuple[int | None, list[str]]:
    """Run a command in a pseudo-terminal, answer its questions, and return its exit code and what stands there."""
    session = terminal(os.environ, *words, size=(40, width))
    screen = ""
    for answer in answers:
        session.expect(r"\[[yY]/[nN]\]: ")
        screen += str(session.before) + str(session.after)
        session.sendline(answer)
    code = exit_code(session)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen + str(session.before))
    return code, [line.rpartition("\r\x1b[K")[2].strip() for line in plain.split("\r\n")]


@pytest.mark.parametrize("width", [80, 120])
def test_a_deletion_on_a_terminal(eicctl: Eicctl, ec2: Any, subnet_id: str, width: int) -> None:
    row = created(eicctl, *CREATE, subnet_id)
    (group_id,), endpoint_id = row["SecurityGroupIds"], row["InstanceConnectEndpointId"]
    code, screen = on_terminal(width, "delete-endpoint", "office", answers="n")
    question = f"Delete endpoint office ({endpoint_id}) in VPC {row['VpcId']}? [y/N]: n"
    assert (code, [line for line in screen if line]) == (1, [question, "Canceled"])
    code, screen = on_terminal(width, "delete-endpoint", "office", answers="yn")
    assert code == 0
    assert f"Also delete security group {group_id} (office-{subnet_id}), created by eicctl? [Y/n]: n" in screen
    assert f"Deleting {endpoint_id} (takes a few minutes)" in screen
    kept = f"Kept security group {group_id} (office-{subnet_id}), created by eicctl"
    hint = f"hint: aws ec2 delete-security-group --group-id {group_id} --region us-east-1"
    assert f"{kept} {hint}" in " ".join(screen)
    again = created(eicctl, *CREATE, subnet_id)
    code, screen = on_terminal(width, "delete-endpoint", "office", answers=["y", ""])
    assert code == 0
    assert screen[-3:] == [
        f"Deleted {again['InstanceConnectEndpointId']}",
        f"Deleted security group {group_id} (office-{subnet_id})",
        "",
    ]
    assert groups_of(ec2, group_id=group_id) == []


@pytest.mark.parametrize("width", [80, 120])
def test_the_endpoint_commands_on_a_terminal(eicctl: Eicctl, subnet_id: str, width: int) -> None:
    assert on_terminal(width, "list-endpoints") == (
        0,
        ["No EC2 Instance Connect Endpoint in us-east-1", "hint: eicctl create-endpoint --wait --region us-east-1", ""],
    )
    for words, expected in (
        (["create-endpoint", *CREATE, subnet_id, "--wait"], "create-complete"),
        (["show-endpoint", "office"], "create-complete"),
        (["modify-endpoint", "office", "--preserve-client-ip", "--wait"], "update-complete"),
        (["list-endpoints"], "update-complete"),
    ):
        code, screen = on_terminal(width, *words)
        assert code == 0, screen
        assert any(expected in line for line in screen)
        assert "" not in screen[:-1]
        assert max(map(len, screen)) <= max(
            width, len("arn:aws:ec2:us-east-1:123456789012:instance-connect-endpoint/") + 22
        )


def test_a_group_that_is_replaced(eicctl: Eicctl, ec2: Any, subnet_id: str) -> None:
    (group_id,) = created(eicctl, *CREATE, subnet_id)["SecurityGroupIds"]
    other = groups_of(ec2, group_name="default")[0]["GroupId"]
    done = eicctl("modify-endpoint", "office", "--security-group-id", other, "--wait")
    assert done.code == 0, done.err
    assert f"no longer uses security group {group_id} (office-{subnet_id}), created by eicctl" in done.err


def test_what_was_made_is_taken_back(eicctl: Eicctl, emulator: Emulator, ec2: Any) -> None:
    before = {row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]}
    targets = groups_of(ec2, group_name="targets")[0]["GroupId"]
    emulator.state.behave(denied="AuthorizeSecurityGroupIngress")
    done = eicctl("create-endpoint", "--create-security-group", "--allow-to", targets)
    assert done.code == 4
    assert "Removed: sg-" in done.err
    assert {row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]} == before
    assert ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == []


def test_programs_have_the_rollback_too(emulator: Emulator, ec2: Any) -> None:
    before = {row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]}
    targets = groups_of(ec2, group_name="targets")[0]["GroupId"]
    emulator.state.behave(denied="CreateInstanceConnectEndpoint")
    with pytest.raises(EicctlError, match="Removed: "):
        create_endpoint(create_security_group=True, allow_to=[targets])
    assert {row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"]} == before
    emulator.state.behave(denied="")
    assert create_endpoint(create_security_group=True, allow_to=[targets], wait=60).usable
    with pytest.raises(ConflictError, match="already has endpoint"):
        create_endpoint()


def test_a_dry_run_makes_nothing(eicctl: Eicctl, ec2: Any) -> None:
    done = eicctl("create-endpoint", "--create-security-group", "--dry-run", "--name", "office")
    assert done.code == 0
    assert "Would call CreateSecurityGroup" in done.out
    assert "Would call CreateInstanceConnectEndpoint" in done.out
    assert ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"] == []


def test_a_failed_creation_has_a_reason(eicctl: Eicctl, emulator: Emulator) -> None:
    emulator.state.behave(fail_create="no role")
    done = eicctl("create-endpoint", "--wait")
    assert done.code == 5
    assert "create-failed: no role" in done.err


def test_a_wait_that_is_too_short(eicctl: Eicctl, emulator: Emulator) -> None:
    emulator.state.behave(transition=3600.0)
    done = eicctl("create-endpoint", "--wait", "--timeout", "1")
    assert done.code == 5
    assert "is still in state create-in-progress after 1 s" in done.err
    assert "create-in-progress" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--subnet-id", "subnet-00000000"], 3, "subnet-00000000"),
        (["--tag", "novalue"], 2, "--tag KEY=VALUE"),
        (["--allow-to", "sg-1"], 2, "--create-security-group"),
        (["--preserve-client-ip", "--ip-address-type", "dualstack"], 2, "requires --ip-address-type ipv4"),
        (["--security-group-id", "sg-00000000"], 3, "sg-00000000"),
    ],
)
def test_bad_words(eicctl: Eicctl, words: list[str], code: int, said: str) -> None:
    done = eicctl("create-endpoint", *words)
    assert done.code == code, done.err
    assert said in done.err


def test_list_show_and_query(eicctl: Eicctl, endpoint: dict[str, Any]) -> None:
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    assert endpoint_id in eicctl("list-endpoints").out
    assert eicctl("list-endpoints", "--query", "[].State", "--output", "text").out == "create-complete\n"
    assert json.loads(eicctl("list-endpoints", "--output", "json").out)[0]["InstanceConnectEndpointId"] == endpoint_id
    assert eicctl("show-endpoint", endpoint_id, "--query", "VpcId", "--output", "text").out.strip() == endpoint["VpcId"]
    assert eicctl("list-endpoints", "--state", "create-failed", "--output", "json").out == "[]\n"
    assert eicctl("list-endpoints", "--vpc-id", "vpc-0", "--output", "json").out == "[]\n"
    assert eicctl("list-endpoints", "--query", "[?").code == 2


def test_all_regions(eicctl: Eicctl, endpoint: dict[str, Any]) -> None:
    done = eicctl("list-endpoints", "--all-regions", "--output", "json")
    assert done.code == 0, done.err
    assert [row["Region"] for row in json.loads(done.out)] == ["us-east-1"]


UNKNOWN = "0123456789abcdef0"
NOT_THERE = [
    ("show-endpoint", f"eice-{UNKNOWN}", "No EC2 Instance Connect Endpoint with ID", "eicctl list-endpoints"),
    ("show-endpoint", "eice-nonsense", '"eice-nonsense" is not a valid EC2 Instance', "eicctl list-endpoints"),
    ("show-endpoint", "office", 'No endpoint named "office" in', "eicctl list-endpoints --all-regions"),
    ("delete-endpoint --yes", f"eice-{UNKNOWN}", "No EC2 Instance Connect Endpoint with ID", "eicctl list-endpoints"),
    ("modify-endpoint --preserve-client-ip", "office", 'No endpoint named "office"', "eicctl list-endpoints"),
    ("create-endpoint --subnet-id", f"subnet-{UNKNOWN}", "No subnet with ID", "aws ec2 describe-subnets"),
    ("create-endpoint --vpc-id", f"vpc-{UNKNOWN}", "No VPC with ID", "aws ec2 describe-vpcs"),
    ("create-endpoint --security-group-id", f"sg-{UNKNOWN}", "No security group", "aws ec2 describe-security-groups"),
    ("create-endpoint --create-security-group --allow-to", f"sg-{UNKNOWN}", "No security group", "aws ec2 describe-"),
    ("ssh", f"i-{UNKNOWN}", "No instance with ID", "eicctl instances"),
    ("ssh --instance-id", f"i-{UNKNOWN}", "No instance with ID", "eicctl instances"),
    ("ssh", "web-9", 'No instance named "web-9" in', "eicctl ssh web-1"),
    ("ssh", "i-am-web", 'No instance named "i-am-web" in', "eicctl instances"),
    ("ssh-config", f"i-{UNKNOWN}", "No instance with ID", "eicctl instances"),
    ("ssh-config", "i-am-web", 'No instance named "i-am-web" in', "eicctl instances"),
    ("tunnel --remote-port 22", f"i-{UNKNOWN}", "No instance with ID", "eicctl instances"),
    (
        "tunnel web-1 --remote-port 22 --instance-connect-endpoint-id",
        f"eice-{UNKNOWN}",
        "No EC2 Instance",
        "eicctl list",
    ),
    ("rdp", f"i-{UNKNOWN}", "No instance with ID", "eicctl instances"),
    ("db", "orders", 'No database named "orders" in', "aws rds describe-db-instances"),
    ("db", "Orders_*", 'No database named "Orders_*" in', "aws rds describe-db-instances"),
]


@pytest.mark.parametrize("profile", ["", "dev"])
@pytest.mark.parametrize(("words", "name", "message", "hint"), NOT_THERE)
def test_what_is_not_there(
    eicctl: Eicctl, emulator: Emulator, home: Path, profile: str, words: str, name: str, message: str, hint: str
) -> None:
    """A message says what and where, a hint lists what there is, and works in another shell; the exit code is 3."""
    key, secret = emulator.env["AWS_ACCESS_KEY_ID"], emulator.env["AWS_SECRET_ACCESS_KEY"]
    (home / "credentials").write_text(f"[dev]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    options = ["--profile", profile] if profile else []
    done = eicctl(*words.split(), name, *options)
    assert done.code == 3, done.err
    error, told = [line for line in done.err.splitlines() if line.startswith(("error:", "hint:"))]
    assert message in error
    assert name in error
    assert "not a valid" in error or f"us-east-1{' (profile dev)' if profile else ''}" in error
    assert told.startswith(f"hint: {hint}")
    assert told.endswith(f"{' --profile dev' if profile else ''} --region us-east-1")


def test_by_name(eicctl: Eicctl) -> None:
    row = created(eicctl, "--name", "office")
    assert json.loads(eicctl("show-endpoint", "office", "--output", "json").out) == {
        **row,
        "State": "create-complete",
    }


@pytest.mark.parametrize("name", ["*", "offic?", "office\\", "Office"])
def test_names_are_exact(eicctl: Eicctl, name: str) -> None:
    """EC2's filters take `*` and `?` for wildcards: a name never means an endpoint that is called otherwise."""
    created(eicctl, "--name", "office")
    for words in (
        ["show-endpoint", name],
        ["modify-endpoint", name, "--preserve-client-ip"],
        ["delete-endpoint", name, "--yes"],
        ["delete-endpoint", name, "--dry-run"],
        ["tunnel", "web-1", "--remote-port", "22", "--instance-connect-endpoint-id", name],
        ["tunnel", name, "--remote-port", "22"],
        ["run", "--target", name, "--", "true"],
        ["run", "--tag", f"Name={name}", "--", "true"],
        ["ssh-config", name],
        ["rdp", name],
        ["doctor", name],
        ["db", name],
    ):
        assert eicctl(*words).code == 3, words
    assert eicctl("list-endpoints", "--tag", f"Name={name}", "--output", "json").out == "[]\n"
    assert eicctl("instances", "--tag", f"Name={name}", "--output", "json").out == "[]\n"
    assert eicctl("show-endpoint", "office", "--query", "State", "--output", "text").out == "create-complete\n"


@pytest.mark.parametrize("name", ["*", "a?", "back\\slash"])
def test_names_with_wildcards_in_them(eicctl: Eicctl, name: str) -> None:
    row = created(eicctl, "--name", name)
    shown = eicctl("show-endpoint", name, "--query", "InstanceConnectEndpointId", "--output", "text")
    assert shown.out.strip() == row["InstanceConnectEndpointId"]
    assert eicctl("delete-endpoint", name, "--yes").code == 0


def test_modify(eicctl: Eicctl, endpoint: dict[str, Any]) -> None:
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    dry = eicctl("modify-endpoint", endpoint_id, "--preserve-client-ip", "--dry-run")
    assert "Would call ModifyInstanceConnectEndpoint" in dry.out
    done = eicctl("modify-endpoint", endpoint_id, "--preserve-client-ip", "--wait", "--output", "json")
    assert json.loads(done.out)["PreserveClientIp"] is True
    assert eicctl("modify-endpoint", endpoint_id).code == 2


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ((), "dualstack", "IP address type: dualstack (the subnet's; override with --ip-address-type)"),
        (
            ("--preserve-client-ip",),
            "ipv4",
            "IP address type: ipv4 (required by --preserve-client-ip; the subnet is dualstack)",
        ),
        (("--ip-address-type", "ipv4"), "ipv4", ""),
        (("--ip-address-type", "ipv4", "--preserve-client-ip"), "ipv4", ""),
    ],
)
def test_in_a_dual_stack_subnet(
    eicctl: Eicctl, dual_stack_subnet_id: str, options: tuple[str, ...], kind: str, said: str
) -> None:
    words = ["create-endpoint", "--subnet-id", dual_stack_subnet_id, *options]
    dry = eicctl(*words, "--dry-run")
    assert dry.code == 0, dry.err
    done = eicctl(*words, "--output", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["IpAddressType"] == kind
    assert json.loads(done.out)["PreserveClientIp"] is ("--preserve-client-ip" in options)
    assert done.err.strip() == dry.err.strip() == said


def test_client_ips_are_preserved_by_ipv4_endpoints_only(eicctl: Eicctl, dual_stack_subnet_id: str) -> None:
    created(eicctl, "--name", "office", "--subnet-id", dual_stack_subnet_id)
    both = eicctl("modify-endpoint", "office", "--preserve-client-ip", "--ip-address-type", "dualstack")
    assert (both.code, both.err.splitlines()[0]) == (2, "error: --preserve-client-ip requires --ip-address-type ipv4")
    pasted = paste(eicctl, eicctl("modify-endpoint", "office", "--preserve-client-ip"), "only ipv4 endpoints preserve")
    assert (pasted["IpAddressType"], pasted["PreserveClientIp"]) == ("ipv4", True)
    pasted = paste(eicctl, eicctl("modify-endpoint", "office", "--ip-address-type", "ipv6"), "preserves client IPs")
    assert (pasted["IpAddressType"], pasted["PreserveClientIp"]) == ("ipv6", False)


def paste(eicctl: Eicctl, done: Ran, message: str) -> dict[str, Any]:
    """Do what the hint of a refused command says, and return the endpoint that it shows."""
    assert done.code == 2, done.err
    assert message in done.err
    (hint,) = [line.removeprefix("hint: eicctl ") for line in done.err.splitlines() if line.startswith("hint: ")]
    again = eicctl(*shlex.split(hint), "--wait", "--output", "json")
    assert again.code == 0, again.err
    row: dict[str, Any] = json.loads(again.out)
    return row


def test_delete_asks_first(eicctl: Eicctl, endpoint: dict[str, Any]) -> None:
    endpoint_id = endpoint["InstanceConnectEndpointId"]
    done = eicctl("delete-endpoint", endpoint_id)
    assert done.code == 2
    assert "Refusing to delete without confirmation (no TTY)" in done.err
    assert f"hint: eicctl delete-endpoint {endpoint_id} --yes --region us-east-1" in done.err
    assert eicctl("delete-endpoint", endpoint_id, "--dry-run").code == 0
    assert eicctl("show-endpoint", endpoint_id).code == 0
    assert eicctl("delete-endpoint", endpoint_id, "--yes", "--wait").code == 0
    assert eicctl("show-endpoint", endpoint_id).code == 3


def test_instances_shows_who_serves(eicctl: Eicctl, endpoint: dict[str, Any]) -> None:
    rows = json.loads(eicctl("instances", "--output", "json").out)
    assert {row["Name"]: row["Platform"] for row in rows} == {"web-1": "linux", "app-1": "linux", "win-1": "windows"}
    assert {row["InstanceConnectEndpointId"] for row in rows} == {endpoint["InstanceConnectEndpointId"]}
    assert json.loads(eicctl("instances", "--tag", "Role=web", "--query", "[].Name", "--output", "json").out) == [
        "web-1"
    ]


def test_names_cannot_steer_a_terminal(eicctl: Eicctl, ec2: Any, instance_ids: dict[str, str]) -> None:
    ec2.create_tags(Resources=[instance_ids["web-1"]], Tags=[{"Key": "Name", "Value": "\x9b31mevil"}])
    for output in ("table", "text"):
        assert "\\x9b31mevil" in eicctl("instances", "--output", output).out


def test_denied_and_unreachable(eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    done = eicctl("list-endpoints")
    assert done.code == 4
    assert "wrong" not in done.err
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert eicctl("list-endpoints").code == 5


def test_no_credentials_no_region_no_profile(eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    done = eicctl("list-endpoints")
    assert done.code == 4
    assert "credentials" in done.err
    unknown = eicctl("list-endpoints", "--profile", "nobody")
    assert unknown.code == 2
    assert "no AWS profiles found" in unknown.err
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert "hint: eicctl config set region REGION" in eicctl("list-endpoints").err
