"""Signatures made by botocore's own signers: which are accepted, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from eicctl.emulator.signature import AccessKey, Rejected, Verifier
from eicctl.emulator.state import State

HOST = "eice.example:8443"
TUNNEL = "ec2-instance-connect"
LONG = AccessKey("AKIALONG", "secret", "arn:aws:iam::123456789012:user/ann", "IAMUser")
SHORT = AccessKey(
    "ASIASHORT", "other", "arn:aws:sts::123456789012:assumed-role/r/s", "AssumedRole",
    session_token="token/with+signs=", expiration=datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1),
)  # fmt: skip


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def verifier(state: State) -> Verifier:
    return Verifier(state, {known.access_key_id: known for known in (LONG, SHORT)}.get)


def keys(known: AccessKey, **changes: str) -> Credentials:
    given = {"access": known.access_key_id, "secret": known.secret_access_key, "token": known.session_token, **changes}
    return Credentials(given["access"], given["secret"], given["token"] or None)


def presigned(credentials: Credentials, service: str = TUNNEL, expires: int = 60) -> str:
    """The query of a signed URL."""
    parameters = {"instanceConnectEndpointId": "eice-1", "privateIpAddress": "10.0.0.9", "odd": "a b/c+d=é"}
    request = AWSRequest("GET", f"https://{HOST}/openTunnel", params=parameters)
    SigV4QueryAuth(credentials, service, "eu-west-1", expires=expires).add_auth(request)
    return urlsplit(str(request.url)).query


def why(verifier: Verifier, query: str, host: str = HOST) -> tuple[str, str]:
    with pytest.raises(Rejected) as rejected:
        verifier.verify_query(host, "/openTunnel", query)
    return rejected.value.code, rejected.value.message


@pytest.mark.parametrize("known", [LONG, SHORT])
def test_a_good_url(verifier: Verifier, known: AccessKey) -> None:
    assert verifier.verify_query(HOST, "/openTunnel", presigned(keys(known))) is known


def test_no_signature(verifier: Verifier) -> None:
    assert why(verifier, "remotePort=22")[0] == "MissingAuthenticationTokenException"
    assert why(verifier, presigned(keys(LONG)).replace("X-Amz-Date=2", "X-Amz-Date=x"))[0].startswith("Missing")


def test_an_unknown_key(verifier: Verifier) -> None:
    assert why(verifier, presigned(keys(LONG, access="AKIAOTHER")))[0] == "UnrecognizedClientException"


def test_a_wrong_secret(verifier: Verifier) -> None:
    code, message = why(verifier, presigned(keys(LONG, secret="wrong")))
    assert code == "SignatureDoesNotMatch"
    assert LONG.secret_access_key not in message


@pytest.mark.parametrize("token", ["", "another"])
def test_a_wrong_session_token(verifier: Verifier, token: str) -> None:
    assert why(verifier, presigned(keys(SHORT, token=token)))[0] == "UnrecognizedClientException"


def test_a_session_that_is_over(verifier: Verifier, state: State) -> None:
    state.behave(clock_offset=3601.0)
    assert why(verifier, presigned(keys(SHORT), expires=7200))[0] == "ExpiredTokenException"


def test_another_service(verifier: Verifier) -> None:
    assert "scoped to service" in why(verifier, presigned(keys(LONG), service="ec2"))[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query.replace("10.0.0.9", "10.0.0.8"),
        lambda query: query + "&maxTunnelDuration=3600",
        lambda query: query.replace("eu-west-1", "eu-west-2"),
        lambda query: query.replace("X-Amz-Expires=60", "X-Amz-Expires=61"),
    ],
)
def test_a_url_that_was_changed(verifier: Verifier, change: Callable[[str], str]) -> None:
    query = presigned(keys(LONG))
    assert change(query) != query
    assert why(verifier, change(query))[0] == "SignatureDoesNotMatch"


def test_a_url_of_another_host(verifier: Verifier) -> None:
    assert why(verifier, presigned(keys(LONG)), host="other.example")[0] == "SignatureDoesNotMatch"


@pytest.mark.parametrize(("ahead", "word"), [(62.0, "expired"), (-302.0, "not yet current")])
def test_a_url_has_its_time(verifier: Verifier, state: State, ahead: float, word: str) -> None:
    query = presigned(keys(LONG))
    state.behave(clock_offset=ahead)
    assert word in why(verifier, query)[1]


@pytest.mark.parametrize("ahead", [57.0, -298.0])
def test_a_url_is_good_until_then(verifier: Verifier, state: State, ahead: float) -> None:
    query = presigned(keys(LONG))
    state.behave(clock_offset=ahead)
    assert verifier.verify_query(HOST, "/openTunnel", query) is LONG


def signed(credentials: Credentials, body: bytes = b"Action=DescribeVpcs") -> dict[str, str]:
    """The headers of a signed request, in lower case."""
    request = AWSRequest("POST", f"http://{HOST}/", data=body, headers={"Content-Type": "text/plain", "Host": HOST})
    SigV4Auth(credentials, "ec2", "eu-west-1").add_auth(request)
    return {name.lower(): str(value) for name, value in request.headers.items()}


@pytest.mark.parametrize("known", [LONG, SHORT])
def test_a_good_request(verifier: Verifier, known: AccessKey) -> None:
    headers = signed(keys(known))
    assert verifier.verify_header("POST", "/", "", headers, b"Action=DescribeVpcs") is known


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({}, b"Action=DescribeVpcs", "MissingAuthenticationToken"),
        (signed(keys(LONG, secret="wrong")), b"Action=DescribeVpcs", "SignatureDoesNotMatch"),
        (signed(keys(LONG)), b"Action=DeleteVpc", "SignatureDoesNotMatch"),
        (signed(keys(LONG, access="AKIAOTHER")), b"Action=DescribeVpcs", "UnrecognizedClientException"),
        (signed(keys(SHORT, token="x")), b"Action=DescribeVpcs", "UnrecognizedClientException"),
    ],
)
def test_bad_requests(verifier: Verifier, headers: dict[str, str], body: bytes, code: str) -> None:
    with pytest.raises(Rejected) as rejected:
        verifier.verify_header("POST", "/", "", headers, body)
    assert rejected.value.code == code


def test_a_request_of_long_ago(verifier: Verifier, state: State) -> None:
    headers = signed(keys(LONG))
    state.behave(clock_offset=1000.0)
    with pytest.raises(Rejected) as rejected:
        verifier.verify_header("POST", "/", "", headers, b"Action=DescribeVpcs")
    assert rejected.value.code == "RequestExpired"
