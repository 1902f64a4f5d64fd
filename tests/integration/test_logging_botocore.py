"""All that botocore logs of its requests, without a secret. The command line lets much less through."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eicctl.aws.session import Session
from eicctl.emulator.control.credentials import own_code
from eicctl.emulator.server import Emulator
from eicctl.support.logging_setup import Lines
from tests.secrecy import found_in


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that botocore and urllib3 log, as lines."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(Lines())
    loggers = [logging.getLogger(name) for name in ("botocore", "urllib3", "eicctl")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield written
    for logger, level in zip(loggers, before, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_no_secret_is_in_it(emulator: Emulator, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = emulator.env["AWS_SECRET_ACCESS_KEY"]
    device = own_code(emulator.state.now())
    answer = Session().client("sts").get_session_token(SerialNumber=device["SerialNumber"], TokenCode=device["Code"])
    keys: Any = answer["Credentials"]
    for name, key in (
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ):
        monkeypatch.setenv(name, keys[key])
    session = Session()
    session.client("ec2").describe_instances()
    pair = session.client("ec2").create_key_pair(KeyName="logged")["KeyMaterial"]
    token = session.client("rds").generate_db_auth_token(DBHostname="h", Port=5432, DBUsername="u", Region="us-east-1")
    with pytest.raises(ClientError):
        session.client("ec2").describe_instances(InstanceIds=["i-1"])
    text = log.getvalue()
    for told in ("SecretAccessKey", "StringToSign", "X-Amz-Security-Token", "GetSessionToken in us-east-1: HTTP 200"):
        assert told in text
    secrets = {
        "secret access key": secret,
        "temporary secret key": keys["SecretAccessKey"],
        "session token": keys["SessionToken"],
        "MFA code": device["Code"],
        "database token": token.partition("X-Amz-Signature=")[2],
        "key pair": pair.splitlines()[1],
    }
    wrong = [line[:300] for line in text.splitlines() if found_in(line.encode(), secrets)]
    assert wrong == []
