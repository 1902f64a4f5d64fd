"""Who gets in: signatures of the control plane, pushed keys, host keys, CloudTrail."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from datetime import timedelta
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
    with pytest.raises(ClientError) as refused:
        client.describe_vpcs()
    assert refused.value.response["Error"]["Code"] == "AuthFailure"  # EC2 has one code for all bad keys
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    other = boto3.client("sts", aws_access_key_id=key, aws_secret_access_key="wrong")
    assert code_of(other.get_caller_identity) == "SignatureDoesNotMatch"


def test_ec2_returns_authfailure_for_unknown_keys_and_a_wrong_clock(emulator: Emulator) -> None:
    client = boto3.client("ec2", aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x")
    assert code_of(client.describe_vpcs) == "AuthFailure"
    emulator.state.behave(clock_offset=7200.0)
    assert code_of(boto3.client("ec2").describe_vpcs) == "AuthFailure"


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
        urllib.request.urlopen(f"{emulator.url}/_eicctl/status", timeout=60)
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


def test_serial_consoles_are_switched_off(emulator: Emulator, instance_ids: dict[str, str]) -> None:
    push = boto3.client("ec2-instance-connect").send_serial_console_ssh_public_key
    good = {"InstanceId": instance_ids["web-1"], "SerialPort": 0, "SSHPublicKey": KEY}
    assert code_of(push, **good) == "SerialConsoleAccessDisabledException"
    assert code_of(push, **{**good, "InstanceId": "i-0123456789abcdef0"}) == "EC2InstanceNotFoundException"
    assert code_of(push, **{**good, "SSHPublicKey": "x" * 100}) == "InvalidArgsException"


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("ec2", "describe_local_gateways", {}, "InvalidAction"),
        ("sts", "decode_authorization_message", {"EncodedMessage": "x"}, "InvalidAction"),
        ("rds", "describe_integrations", {}, "InvalidAction"),
        ("cloudtrail", "list_queries", {"EventDataStore": "abc"}, "UnknownOperationException"),
    ],
)
def test_what_the_emulator_does_not_have_is_refused_in_the_services_form(
    emulator: Emulator, service: Any, operation: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(boto3.client(service), operation)(**parameters)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("describe_instances", {"InstanceIds": ["web-1"]}, "InvalidInstanceID.Malformed"),
        ("describe_instances", {"InstanceIds": ["i-0123456789abcdef0", "i-01234"]}, "InvalidInstanceID.Malformed"),
        ("describe_instances", {"InstanceIds": ["i-0123456789ABCDEF0"]}, "InvalidInstanceID.Malformed"),
        ("describe_instances", {"InstanceIds": ["i-0123456789abcdef0"]}, "InvalidInstanceID.NotFound"),
        ("get_console_output", {"InstanceId": "sg-0123456789abcdef0"}, "InvalidInstanceID.Malformed"),
        ("start_instances", {"InstanceIds": ["x"]}, "InvalidInstanceID.Malformed"),
        ("describe_subnets", {"SubnetIds": ["subnet-x"]}, "InvalidSubnetID.Malformed"),
        ("create_instance_connect_endpoint", {"SubnetId": "a"}, "InvalidSubnetID.Malformed"),
        ("describe_vpcs", {"VpcIds": ["vpc-"]}, "InvalidVpcID.Malformed"),
        ("describe_security_groups", {"GroupIds": ["default"]}, "InvalidGroupId.Malformed"),
        (
            "modify_instance_connect_endpoint",
            {"InstanceConnectEndpointId": "eice-0123456789abcdef0", "SecurityGroupIds": ["sg-1"]},
            "InvalidGroupId.Malformed",
        ),
        (
            "delete_instance_connect_endpoint",
            {"InstanceConnectEndpointId": "office"},
            "InvalidInstanceConnectEndpointId.Malformed",
        ),
        (
            "describe_instance_connect_endpoints",
            {"InstanceConnectEndpointIds": ["eice-0123456789abcdefg"]},
            "InvalidInstanceConnectEndpointId.Malformed",
        ),
    ],
)
def test_malformed_ids(ec2: Any, operation: str, parameters: dict[str, Any], code: str) -> None:
    assert code_of(getattr(ec2, operation), **parameters) == code


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("eice-0123456789abcdef0", "InvalidInstanceConnectEndpointId.NotFound"),
        ("eice-zz", "InvalidInstanceConnectEndpointId.Malformed"),
        ("i-0123456789abcdef0", "InvalidInstanceID.NotFound"),
        ("vpc-0123456789abcdef0", "InvalidVpcID.NotFound"),
        ("sg-zz", "InvalidGroupId.Malformed"),
        ("zz", "InvalidID"),
    ],
)
def test_only_what_is_there_can_be_tagged(ec2: Any, endpoint: dict[str, Any], resource: str, code: str) -> None:
    good = endpoint["InstanceConnectEndpointId"]
    tags = [{"Key": "a", "Value": "b"}]
    assert code_of(ec2.create_tags, Resources=[good, resource], Tags=tags) == code
    assert not any(tag["ResourceId"] in (good, resource) for tag in ec2.describe_tags()["Tags"] if tag["Key"] == "a")
    ec2.create_tags(Resources=[good], Tags=tags)


@pytest.mark.parametrize("text", ["\x00", "a\x0bb", "\x1b[2J", "\x7f\x01", "\ufffe"])
def test_text_that_xml_cannot_hold_is_refused(ec2: Any, instance_ids: dict[str, str], text: str) -> None:
    """One such tag broke the answers to all that came later."""
    web = instance_ids["web-1"]
    for tag in ({"Key": "a", "Value": text}, {"Key": text, "Value": "a"}):
        assert code_of(ec2.create_tags, Resources=[web], Tags=[tag]) == "InvalidParameterValue"
    assert code_of(ec2.create_security_group, GroupName="g", Description=text) == "InvalidParameterValue"
    assert (
        code_of(boto3.client("iam").create_user, UserName="u", Tags=[{"Key": "a", "Value": text}]) == "ValidationError"
    )
    ec2.create_tags(Resources=[web], Tags=[{"Key": "ok", "Value": "tab\tline\nünïcödé \U0001f600 <&>"}])
    tags = ec2.describe_instances(InstanceIds=[web])["Reservations"][0]["Instances"][0]["Tags"]
    assert {"Key": "ok", "Value": "tab\tline\nünïcödé \U0001f600 <&>"} in tags


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


@pytest.mark.parametrize(
    "attribute", [{"AttributeKey": "Foo", "AttributeValue": "x"}, {"AttributeKey": "EventName", "AttributeValue": ""}]
)
def test_an_unknown_lookup_attribute(emulator: Emulator, attribute: dict[str, str]) -> None:
    client = boto3.client("cloudtrail", config=Config(parameter_validation=False))
    assert code_of(client.lookup_events, LookupAttributes=[attribute]) == "InvalidLookupAttributesException"


@pytest.mark.parametrize(
    "key",
    ["EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId"],
)
def test_all_lookup_attributes_of_the_service(emulator: Emulator, key: Any) -> None:
    emulator.state.behave(lookup_rate=0.0)
    attribute = {"AttributeKey": key, "AttributeValue": "x"}
    assert boto3.client("cloudtrail").lookup_events(LookupAttributes=[attribute])["Events"] == []  # type: ignore[list-item]


def lookups(*regions: str) -> list[str]:
    """Call LookupEvents once for each region, without retries; return the error codes, empty where it went well."""
    codes = []
    for region in regions:
        client = boto3.client("cloudtrail", region_name=region, config=Config(retries={"total_max_attempts": 1}))
        try:
            client.lookup_events()
            codes.append("")
        except ClientError as error:
            codes.append(str(error.response["Error"]["Code"]))
    return codes


def test_lookups_are_throttled_by_region(emulator: Emulator) -> None:
    emulator.state.behave(lookup_rate=0.01)
    assert lookups("us-east-1", "us-east-1", "eu-central-1") == ["", "ThrottlingException", ""]
    emulator.state.behave(clock_offset=200.0)
    assert lookups("us-east-1") == [""]


def test_the_event_history_has_ninety_days_of_one_region(emulator: Emulator) -> None:
    emulator.state.behave(lookup_rate=0.0)
    now = emulator.state.now()
    for days in (1, 89, 91):
        record(emulator, f"{days} days ago", f"{now - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}")
    found = boto3.client("cloudtrail").lookup_events(StartTime=now - timedelta(days=200))["Events"]
    assert [event["EventName"] for event in found] == ["1 days ago", "89 days ago"]
    assert not boto3.client("cloudtrail", region_name="eu-central-1").lookup_events()["Events"]
    code = code_of(boto3.client("cloudtrail").lookup_events, StartTime=now, EndTime=now - timedelta(days=1))
    assert code == "InvalidTimeRangeException"


def test_calls_leave_records(emulator: Emulator, endpoint: dict[str, Any], ec2: Any, subnet_id: str) -> None:
    assert code_of(ec2.create_instance_connect_endpoint, SubnetId="subnet-01234567") == "InvalidSubnetID.NotFound"
    made, refused = emulator.state.events()
    answer = made["responseElements"]["CreateInstanceConnectEndpointResponse"]["instanceConnectEndpoint"]
    assert answer["instanceConnectEndpointId"] == endpoint["InstanceConnectEndpointId"]
    assert made["requestParameters"]["CreateInstanceConnectEndpointRequest"]["SubnetId"] == subnet_id
    assert made["userIdentity"]["arn"].endswith(":user/local")
    assert "Boto3" in made["userAgent"]
    assert (refused["errorCode"], refused["responseElements"]) == ("Client.InvalidSubnetID.NotFound", None)


def test_a_role_session_names_its_role(emulator: Emulator, instance_ids: dict[str, str]) -> None:
    role = boto3.client("iam").create_role(RoleName="dev", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    keys = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="ann")["Credentials"]
    client = boto3.client(
        "ec2-instance-connect",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    client.send_ssh_public_key(InstanceId=instance_ids["web-1"], InstanceOSUser="ec2-user", SSHPublicKey=KEY)
    (found,) = emulator.state.events()
    identity = found["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["arn"].endswith("assumed-role/dev/ann")
    assert identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"
    assert identity["sessionContext"]["sessionIssuer"]["userName"] == "dev"
    assert found["requestParameters"]["instanceOSUser"] == "ec2-user"


def test_objects_in_s3(emulator: Emulator) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="logs")
    s3.put_object(Bucket="logs", Key="a b+c/d.json", Body=b"content")
    assert [row["Key"] for row in s3.list_objects_v2(Bucket="logs", Prefix="a ")["Contents"]] == ["a b+c/d.json"]
    assert s3.get_object(Bucket="logs", Key="a b+c/d.json")["Body"].read() == b"content"
    wrong = boto3.client("s3", aws_secret_access_key="wrong", aws_access_key_id=emulator.env["AWS_ACCESS_KEY_ID"])
    assert code_of(wrong.list_buckets) == "SignatureDoesNotMatch"
