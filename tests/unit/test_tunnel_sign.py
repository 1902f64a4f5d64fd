"""presign: each signature is the one that botocore computes."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.aws import signed_request
from eicctl.core.model import Credentials, Target
from eicctl.tunnel.sign import presign

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


def target(address: str = "10.0.1.10", dns_name: str = "eice-1.example.com", region: str = "eu-west-1") -> Target:
    return Target(address, 22, "eice-0123456789abcdef0", dns_name, region)


def signed_by_botocore(url: str, credentials: Credentials, region: str) -> str:
    """The signature that botocore gives to the URL's own parameters."""
    parts = urlsplit(url)
    ours = {name: value for name, value in parse_qsl(parts.query) if not name.startswith("X-Amz-")}
    request = botocore.awsrequest.AWSRequest("GET", f"https://{parts.netloc}{parts.path}", params=ours)
    keys = botocore.credentials.Credentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        botocore.auth.SigV4QueryAuth(keys, "ec2-instance-connect", region, expires=60).add_auth(request)
    return dict(parse_qsl(urlsplit(request.prepare().url).query))["X-Amz-Signature"]


@given(
    access_key=st.from_regex(r"\A(AKIA|ASIA)[A-Z2-7]{16}\Z"),
    secret=printable,
    token=st.none() | printable,
    address=st.ip_addresses().map(str),
    duration=st.none() | st.integers(1, 3600),
    dns_name=st.sampled_from(["eice-1.example.com", "localhost:8443", "UPPER.example.com", "[::1]:9443", "x.test:443"]),
    region=st.sampled_from(["us-east-1", "eu-west-1", "us-gov-west-1"]),
)
def test_signature_is_botocores(
    access_key: str, secret: str, token: str | None, address: str, duration: int | None, dns_name: str, region: str
) -> None:
    credentials = Credentials(access_key, secret, token)
    url = presign(target(address, dns_name, region), credentials, max_tunnel_duration=duration, now=NOW)
    signature = dict(parse_qsl(urlsplit(url).query))["X-Amz-Signature"]
    assert signature == signed_by_botocore(url, credentials, region)


def test_parameters_are_those_of_the_service() -> None:
    url = presign(target(), Credentials("AKIAEXAMPLE", "secret", "token"), max_tunnel_duration=900, now=NOW)
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    del query["X-Amz-Signature"]
    assert (parts.scheme, parts.netloc, parts.path) == ("wss", "eice-1.example.com", "/openTunnel")
    assert query == {
        "instanceConnectEndpointId": "eice-0123456789abcdef0",
        "remotePort": "22",
        "privateIpAddress": "10.0.1.10",
        "maxTunnelDuration": "900",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": "AKIAEXAMPLE/20260304/eu-west-1/ec2-instance-connect/aws4_request",
        "X-Amz-Date": "20260304T050607Z",
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Security-Token": "token",
    }


@pytest.mark.parametrize("token", [None, "a/token+with=signs"])
def test_a_pushed_key_is_signed_as_by_botocore(token: str | None) -> None:
    keys = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG", token)
    body = b'{"InstanceId": "i-0123456789abcdef0"}'
    where = "localhost:4566", "ec2-instance-connect", "eu-west-1"
    head, _, sent = signed_request.request(
        *where, keys, headers={"content-type": "application/json"}, body=body, now=NOW
    ).partition(b"\r\n\r\n")
    assert sent == body
    first, *lines = head.decode().split("\r\n")
    assert first == "POST / HTTP/1.1"
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = botocore.awsrequest.AWSRequest(
        "POST",
        "http://localhost:4566/",
        data=body,
        headers={name: headers[name] for name in signed if not name.startswith("x-amz-date") and name != "host"},
    )
    theirs = botocore.credentials.Credentials(keys.access_key_id, keys.secret_access_key, token)
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        botocore.auth.SigV4Auth(theirs, "ec2-instance-connect", "eu-west-1").add_auth(request)
    assert headers["authorization"] == request.headers["Authorization"]


@pytest.mark.parametrize("name", ["maxTunnelDuration", "X-Amz-Security-Token"])
def test_what_is_not_given_is_not_sent(name: str) -> None:
    assert name not in presign(target(), Credentials("AKIAEXAMPLE", "secret"), now=NOW)


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(Credentials("AKIAEXAMPLE", "the-secret", "the-token"))
    assert "AKIAEXAMPLE" in shown
    assert "the-secret" not in shown
    assert "the-token" not in shown
