"""Who asks: the emulator's own key, users' keys, sessions and roles, with STS."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from eicctl.emulator.server import Emulator


def code_of(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return str(refused.value.response["Error"]["Code"])


def client(service: Any, keys: dict[str, Any]) -> Any:
    return boto3.client(
        service,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
    )


def user_key(name: str) -> dict[str, Any]:
    iam = boto3.client("iam")
    iam.create_user(UserName=name)
    return dict(iam.create_access_key(UserName=name)["AccessKey"])


def session_of(service: Any, **parameters: Any) -> dict[str, Any]:
    return dict(service.get_session_token(**parameters)["Credentials"])


def test_the_emulators_own_key(emulator: Emulator) -> None:
    identity = boto3.client("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{identity['Account']}:user/local"
    assert identity["UserId"].startswith("AIDA")


def test_a_users_key(emulator: Emulator) -> None:
    assert client("sts", user_key("ann")).get_caller_identity()["Arn"].endswith(":user/ann")


def test_a_key_that_is_switched_off(emulator: Emulator) -> None:
    key = user_key("ann")
    boto3.client("iam").update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert code_of(client("sts", key).get_caller_identity) == "InvalidClientTokenId"


def test_a_session_is_the_users(emulator: Emulator) -> None:
    asked = datetime.now(UTC)
    session = session_of(client("sts", user_key("ann")), DurationSeconds=900)
    assert abs((session["Expiration"] - asked).total_seconds() - 900) < 30
    assert client("sts", session).get_caller_identity()["Arn"].endswith(":user/ann")
    assert client("ec2", session).describe_vpcs()["Vpcs"]


def test_a_session_lasts_twelve_hours_by_default(emulator: Emulator) -> None:
    asked = datetime.now(UTC)
    session = session_of(boto3.client("sts"))
    assert abs((session["Expiration"] - asked).total_seconds() - 43_200) < 30


def test_a_session_ends(emulator: Emulator) -> None:
    # The emulator's clock was behind when the session was opened, by less than a signature's time may differ.
    emulator.state.behave(clock_offset=-800.0)
    session = session_of(boto3.client("sts"), DurationSeconds=900)
    emulator.state.behave(clock_offset=200.0)
    assert code_of(client("ec2", session).describe_vpcs) == "RequestExpired"  # in EC2's words
    assert code_of(client("sts", session).get_caller_identity) == "ExpiredToken"
    push = client("ec2-instance-connect", session).send_ssh_public_key
    parameters = {"InstanceId": "i-0123456789abcdef0", "InstanceOSUser": "a", "SSHPublicKey": "k" * 80}
    assert code_of(push, **parameters) == "ExpiredTokenException"


def test_a_session_without_its_token(emulator: Emulator) -> None:
    session = session_of(boto3.client("sts"))
    assert code_of(client("ec2", {**session, "SessionToken": None}).describe_vpcs) == "AuthFailure"


def test_a_session_opens_no_session(emulator: Emulator) -> None:
    session = session_of(boto3.client("sts"))
    assert code_of(client("sts", session).get_session_token) == "AccessDenied"


def test_a_session_that_is_too_long(emulator: Emulator) -> None:
    assert code_of(boto3.client("sts").get_session_token, DurationSeconds=129_601) == "ValidationError"


def test_an_assumed_role(emulator: Emulator) -> None:
    sts = boto3.client("sts")
    boto3.client("iam").create_role(RoleName="ops", AssumeRolePolicyDocument='{"Version": "2012-10-17"}')
    role = f"arn:aws:iam::{sts.get_caller_identity()['Account']}:role/ops"
    answer = sts.assume_role(RoleArn=role, RoleSessionName="ann")
    keys = dict(answer["Credentials"])
    assert client("sts", keys).get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert client("ec2", keys).describe_vpcs()["Vpcs"]


def test_a_reset_forgets_sessions(emulator: Emulator) -> None:
    session = session_of(boto3.client("sts"))
    emulator.reset()
    assert code_of(client("ec2", session).describe_vpcs) == "AuthFailure"
