"""What `create-endpoint --format` prints, before its readers: cfn-lint, a parser of HCL, and a shell with an `aws`.

Where the AWS CLI v2 is not installed, `aws` is a stand-in on botocore, which checks the parameters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hcl2
import pytest

from eicctl.emulator.server import Emulator
from tests.e2e.test_aws_cli import find_aws_cli
from tests.integration.conftest import Ran

Eicctl = Callable[..., Ran]

AWS = """#!{python}
import json
import sys

import boto3
from botocore import xform_name

service, command, *words = sys.argv[1:]
client = boto3.client(service)
operation = client.meta.method_to_api_mapping[command.replace("-", "_")]
shape = client.meta.service_model.operation_model(operation).input_shape
members = {{xform_name(name, "-"): (name, member.type_name) for name, member in shape.members.items()}}
request, query = {{}}, ""
while words:
    option = words.pop(0).removeprefix("--")
    values = []
    while words and not words[0].startswith("--"):
        values.append(words.pop(0))
    if option == "query":
        query = values[0]
    elif option == "region":
        assert values == [client.meta.region_name]
    elif option.removeprefix("no-") in members and members[option.removeprefix("no-")][1] == "boolean":
        request[members[option.removeprefix("no-")][0]] = not option.startswith("no-")
    elif option != "output":
        name, kind = members[option]
        is_json = values[0].startswith("[")
        request[name] = json.loads(values[0]) if is_json else values if kind == "list" else values[0]
response = getattr(client, command.replace("-", "_"))(**request)
print(response[query] if query else "")
"""
"""Makes the calls of EC2 that the AWS CLI would; botocore checks the parameters."""

NAME = "off ice ${x}"
TAG = "team=we'b \"%{y}"


@pytest.fixture
def aws_cli(tmp_path: Path) -> str:
    """A folder with an `aws`."""
    if folder := find_aws_cli():
        return folder
    program = tmp_path / "bin" / "aws"
    program.parent.mkdir()
    program.write_text(AWS.format(python=sys.executable))
    program.chmod(0o755)
    return str(program.parent)


@pytest.fixture
def targets(ec2: Any) -> list[str]:
    """Two security groups of targets."""
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    return [ec2.create_security_group(GroupName=each, Description=each, VpcId=vpc)["GroupId"] for each in ("a", "b")]


def printed(eicctl: Eicctl, language: str, *words: str) -> str:
    """What is printed; nothing is created for it."""
    done = eicctl("create-endpoint", "--format", language, *words)
    assert done.code == 0, done.err
    assert json.loads(eicctl("list-endpoints", "--output", "json").out) == []
    return done.out


def with_group(targets: list[str], *more: str) -> list[str]:
    allowed = [word for target in targets for word in ("--allow-to", target)]
    return ["--create-security-group", *allowed, "--name", NAME, "--tag", TAG, *more]


@pytest.mark.parametrize("own_group", [False, True], ids=["alone", "with a group"])
def test_cloudformation(eicctl: Eicctl, targets: list[str], own_group: bool, tmp_path: Path) -> None:
    words = with_group(targets) if own_group else ["--security-group-id", targets[0]]
    text = printed(eicctl, "cloudformation", *words)
    lint = Path(sys.executable).with_name("cfn-lint")
    (tmp_path / "endpoint.json").write_text(text)
    done = subprocess.run([lint, tmp_path / "endpoint.json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    template = json.loads(text)
    kinds = sorted(each["Type"].removeprefix("AWS::EC2::") for each in template["Resources"].values())
    rules = ["SecurityGroup", *["SecurityGroupIngress"] * 4] if own_group else []
    assert kinds == ["InstanceConnectEndpoint", *rules]
    endpoint = template["Resources"]["Endpoint"]["Properties"]
    assert endpoint["PreserveClientIp"] is False
    if own_group:
        assert {tag["Key"]: tag["Value"] for tag in endpoint["Tags"]} == {"Name": NAME, "team": TAG.partition("=")[2]}
        group = template["Resources"]["SecurityGroup"]["Properties"]
        assert [(rule["FromPort"], rule["CidrIp"]) for rule in group["SecurityGroupEgress"]] == [
            (22, "10.0.0.0/16"),
            (3389, "10.0.0.0/16"),
        ]


@pytest.mark.parametrize("own_group", [False, True], ids=["alone", "with a group"])
def test_terraform(eicctl: Eicctl, targets: list[str], own_group: bool) -> None:
    words = with_group(targets, "--ip-address-type", "ipv4") if own_group else []
    text = printed(eicctl, "terraform", *words)
    found = hcl2.loads(text)
    blocks = [(_plain(kind), body) for each in found["resource"] for kind, body in each.items()]
    rules = ["aws_vpc_security_group_egress_rule"] * 2 + ["aws_vpc_security_group_ingress_rule"] * 4
    more = ["aws_security_group", *rules] if own_group else []
    assert [kind for kind, _ in blocks] == [*more, "aws_ec2_instance_connect_endpoint"]
    (endpoint,) = blocks[-1][1].values()
    assert endpoint["preserve_client_ip"] is False
    if own_group:
        assert endpoint["security_group_ids"] == ["${aws_security_group.off_ice___x_.id}"]
        assert 'Name" = "off ice $${x}"' in text  # not evaluated
        assert r'"we' + "'" + r'b \"%%{y}"' in text
        assert _plain(endpoint["ip_address_type"]) == "ipv4"


def _plain(text: str) -> str:
    """A text of the parser's, whose versions differ about the quotes."""
    return text.strip('"')


def test_terraform_imports_what_there_is(eicctl: Eicctl, ec2: Any) -> None:
    assert eicctl("create-endpoint", "--name", "office", "--create-security-group", "--wait").code == 0
    row = json.loads(eicctl("show-endpoint", "office", "--output", "json").out)
    text = eicctl("show-endpoint", "office", "--format", "terraform").out
    found = hcl2.loads(text)
    (imported,) = found["import"]
    assert _plain(imported["id"]) == row["InstanceConnectEndpointId"]
    assert "to = aws_ec2_instance_connect_endpoint.office\n" in text
    assert f'subnet_id          = "{row["SubnetId"]}"' in text
    assert f'security_group_ids = ["{row["SecurityGroupIds"][0]}"]' in text
    refused = eicctl("create-endpoint", "--format", "terraform")
    assert refused.code == 6
    assert f"hint: eicctl show-endpoint {row['InstanceConnectEndpointId']} --format terraform" in refused.err


def test_the_aws_cli_makes_what_eicctl_would(
    eicctl: Eicctl, emulator: Emulator, ec2: Any, targets: list[str], aws_cli: str
) -> None:
    text = printed(eicctl, "awscli", *with_group(targets))
    done = subprocess.run(
        ["sh", "-eu"],
        input=text,
        env=os.environ | {"PATH": f"{aws_cli}:{os.environ['PATH']}", "AWS_PAGER": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    by_commands = state(eicctl, ec2, targets)
    assert eicctl("delete-endpoint", NAME, "--yes", "--wait").code == 0
    assert eicctl("create-endpoint", *with_group(targets), "--wait").code == 0
    assert state(eicctl, ec2, targets) == by_commands


def state(eicctl: Eicctl, ec2: Any, targets: list[str]) -> dict[str, Any]:
    """The endpoint, its group and the targets' rules, without what differs from one to the next."""
    (row,) = json.loads(eicctl("list-endpoints", "--output", "json").out)
    (group,) = ec2.describe_security_groups(GroupIds=row["SecurityGroupIds"])["SecurityGroups"]
    rows = ec2.describe_security_groups(GroupIds=targets)["SecurityGroups"]
    rules = [
        (target["GroupId"], rule["FromPort"], pair["GroupId"] == group["GroupId"], pair["Description"])
        for target in rows
        for rule in target["IpPermissions"]
        for pair in rule["UserIdGroupPairs"]
    ]
    return {
        "endpoint": {key: row[key] for key in ("SubnetId", "PreserveClientIp", "IpAddressType")},
        "tags": sorted((tag["Key"], tag["Value"]) for tag in row["Tags"]),
        "group": {key: group[key] for key in ("GroupName", "Description", "VpcId", "IpPermissions")},
        "egress": sorted((rule["FromPort"], rule["IpRanges"][0]["CidrIp"]) for rule in group["IpPermissionsEgress"]),
        "group tags": sorted((tag["Key"], tag["Value"]) for tag in group["Tags"]),
        "rules": sorted(rules),
    }
