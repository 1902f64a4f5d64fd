"""Who gets in: signatures of the control plane, pushed keys, host keys, CloudTrail."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from eicctl.emulator.server import Emulator

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtEEV8nMTVpZZWQvo9f3pLxkp1zxsj6oPxHhYtQXn0k test"


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return str(refused.value.response["Error"]["Code"])


def test_an_unsigned_request_is_refused(emulator: Emulator) -> None:
    client = boto3.client("ec2", config=Config(signature_version=UNSIGNED))
    assert code_of(client.describe_vpcs) == "MissingAuthenticationToken"


def test_a_wrong_secret_is_refused(emulator: Emulator) -> None:
    key = emulator.env["AWS_ACCESS_KEY_ID"]
    client = boto3.client("ec2", aws_access_key_id=key, aws_secret_access_key="wrong")
    assert code_of(client.describe_vpcs) == "SignatureDoesNotMatch"


def test_an_unknown_key_is_refused(emulator: Emulator) -> None:
    client = boto3.client("ec2-instance-connect", aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x")
    parameters = {"InstanceId": "i-0123456789abcdef0", "InstanceOSUser": "a", "SSHPublicKey": KEY}
    assert code_of(client.send_ssh_public_key, **parameters) == "UnrecognizedClientException"


def test_a_users_own_access_key_is_good(emulator: Emulator) -> None:
    iam = boto3.client("iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    client = boto3.client("ec2", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    assert client.describe_vpcs()["Vpcs"]


def test_the_control_api_wants_its_token(emulator: Emulator) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{emulator.url}/_eicctl/status", timeout=5)
    assert refused.value.code == 401
    refused.value.close()


def test_a_pushed_key_is_accepted_for_a_minute(emulator: Emulator, instance_ids: dict[str, str]) -> None:
    web = instance_ids["web-1"]
    boto3.client("ec2-instance-connect").send_ssh_public_key(
        InstanceId=web, InstanceOSUser="ec2-user", SSHPublicKey=KEY
    )
    assert emulator.state.keys(web, "ec2-user") == [KEY]
    assert emulator.state.keys(web, "root") == []
    emulator.state.behave(clock_offset=61.0)
    assert emulator.state.keys(web, "ec2-user") == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"InstanceId": "i-0123456789abcdef0"}, "EC2InstanceNotFoundException"),
        ({"SSHPublicKey": "x" * 100}, "InvalidArgsException"),
        ({"SSHPublicKey": KEY.replace("ssh-ed25519", "ssh-rsa")}, "InvalidArgsException"),
        ({"InstanceOSUser": "no spaces"}, "InvalidArgsException"),
        ({"AvailabilityZone": "us-east-1f"}, "EC2InstanceNotFoundException"),
    ],
)
def test_bad_keys(emulator: Emulator, instance_ids: dict[str, str], changes: dict[str, str], code: str) -> None:
    good = {"InstanceId": instance_ids["web-1"], "InstanceOSUser": "ec2-user", "SSHPublicKey": KEY}
    assert code_of(boto3.client("ec2-instance-connect").send_ssh_public_key, **{**good, **changes}) == code


def test_a_stopped_instance_takes_no_key(ec2: Any, instance_ids: dict[str, str]) -> None:
    ec2.stop_instances(InstanceIds=[instance_ids["web-1"]])
    good = {"InstanceId": instance_ids["web-1"], "InstanceOSUser": "ec2-user", "SSHPublicKey": KEY}
    code = code_of(boto3.client("ec2-instance-connect").send_ssh_public_key, **good)
    assert code == "EC2InstanceStateInvalidException"


def test_console_output_has_the_host_keys(ec2: Any, emulator: Emulator, instance_ids: dict[str, str]) -> None:
    web = instance_ids["web-1"]
    machine = emulator.state.machine_of(web)
    assert machine
    output = ec2.get_console_output(InstanceId=web)["Output"]
    text = base64.b64decode(output).decode() if "BEGIN" not in output else output
    between = text.split("-----BEGIN SSH HOST KEY KEYS-----")[1].split("-----END SSH HOST KEY KEYS-----")[0]
    assert machine.host_public_key in between


def record(emulator: Emulator, name: str, time: str) -> None:
    emulator.state.record(
        {
            "eventName": name,
            "eventID": f"id-{time}",
            "eventTime": time,
            "eventSource": "ec2-instance-connect.amazonaws.com",
            "awsRegion": "us-east-1",
            "readOnly": False,
            "userIdentity": {"arn": "arn:aws:iam::1:user/ann", "accessKeyId": "AKIA"},
            "resources": [],
        }
    )


def test_lookup_events(emulator: Emulator) -> None:
    emulator.state.behave(lookup_rate=0.0)
    today = emulator.state.now().date()
    for number in range(60):
        record(emulator, "OpenTunnel" if number % 2 else "Other", f"{today}T00:00:{number:02}Z")
    trail = boto3.client("cloudtrail")
    pages = trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "OpenTunnel"}],
        PaginationConfig={"PageSize": 20},
    )
    found = [event for page in pages for event in page["Events"]]
    assert len(found) == 30
    assert found[0]["EventId"] == f"id-{today}T00:00:59Z"
    assert json.loads(found[0]["CloudTrailEvent"])["userIdentity"]["arn"].endswith("ann")
    assert found[0]["Username"] == "ann"


def test_one_attribute_a_lookup(emulator: Emulator) -> None:
    attribute = {"AttributeKey": "EventName", "AttributeValue": "x"}
    code = code_of(boto3.client("cloudtrail").lookup_events, LookupAttributes=[attribute, attribute])
    assert code == "InvalidLookupAttributesException"
