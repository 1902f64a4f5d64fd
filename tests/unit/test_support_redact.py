"""What a log shows of secrets: nothing, in whatever form they come."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.core.model import Credentials, Target
from eicctl.support.redact import redact, register, register_url
from eicctl.tunnel.sign import presign

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjE" + "aB3/+=" * 20
SIGNATURE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PEM = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eicctl.support.redact._known", {})


BY_FORM = {
    "presigned": f"GET wss://h/openTunnel?a=1&X-Amz-Signature={SECRET}&remotePort=22",
    "presigned, quoted again": f"url=https%3A%2F%2Fh%2F%3FX-Amz-Signature%3D{quote(SECRET, safe='')}%26a",
    "security token": f"?X-Amz-Security-Token={quote(SECRET, safe='')}&X-Amz-Expires=60",
    "credential": f"?X-Amz-Credential={SECRET}%2F20260101%2Fus-east-1&X",
    "header in a dict": str({"X-Amz-Security-Token": SECRET, "Host": "h"}),
    "header of bytes": str({"X-Amz-Security-Token": SECRET.encode(), "Host": "h"}),
    "authorization": f"Authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature={SECRET}",
    "authorization in a dict": str({"Authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/x, Signature={SECRET}"}),
    "authorization of bytes": str(
        {"Authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/x, Signature={SECRET}".encode()}
    ),
    "proxy authorization": f"Proxy-Authorization: Basic {SECRET}",
    "bearer": f"sent Bearer {SECRET}",
    "credentials file": f"aws_secret_access_key = {SECRET}",
    "environment": f"AWS_SECRET_ACCESS_KEY={SECRET} AWS_REGION=eu-west-1",
    "session in the environment": f"AWS_SESSION_TOKEN='{SECRET}'",
    "answer of STS, XML": f"<Credentials><SecretAccessKey>{SECRET}</SecretAccessKey></Credentials>",
    "answer of STS, token": f"<SessionToken>{SECRET}</SessionToken>",
    "answer, JSON": json.dumps({"SecretAccessKey": SECRET, "SessionToken": SECRET, "Expiration": "2026"}),
    "answer, Python": str({"Credentials": {"SecretAccessKey": SECRET, "SessionToken": SECRET}}),
    "SSO": json.dumps({"accessToken": SECRET, "clientSecret": SECRET, "refreshToken": SECRET}),
    "role with a web identity": f"WebIdentityToken={SECRET}&RoleArn=x",
    "windows password": json.dumps({"PasswordData": SECRET}),
    "password": f"password={SECRET}",
    "password with blanks": 'password: "SENTINEL and blanks"'.replace("SENTINEL", SECRET),
    "libpq": f"host=h user=u password='{SECRET}'",
    "option": f"eicctl mfa login --token-code {SECRET}",
    "code": f"TokenCode={SECRET}&SerialNumber=arn",
    "proxy": f"HTTPS_PROXY=http://user:{quote(SECRET, safe='')}@proxy:3128/",
    "proxy with an at sign": f"http://user:p@{quote(SECRET, safe='')}@proxy:3128",
    "database URL": f"postgresql://u:{quote(SECRET, safe='')}@127.0.0.1:5432/db",
    "private key": f"before\n{PEM}\nafter",
    "private key, cut off": PEM[:60],
    "private key in a repr": repr(PEM),
    "key pair": json.dumps({"KeyMaterial": PEM}),
    "database token": f"orders.rds:5432/?Action=connect&DBUser=u&X-Amz-Signature={SECRET}",
    "a signature": f"Calculated signature using v4 auth.\nSignature:\n{SIGNATURE}",
    "session token alone": f"it is {TOKEN}.",
}


@pytest.mark.parametrize("text", BY_FORM.values(), ids=BY_FORM.keys())
def test_by_form(text: str) -> None:
    shown = redact(text)
    for secret in (SECRET, quote(SECRET, safe=""), SECRET[10:], TOKEN, SIGNATURE):
        assert secret not in shown
    assert "***" in shown


def test_the_url_of_a_connection() -> None:
    target = Target("10.0.1.10", 22, "eice-1", "h.example", "us-east-1")
    url = presign(target, Credentials("AKIAEXAMPLE", SECRET, TOKEN), now=datetime(2026, 1, 1, tzinfo=UTC))
    shown = redact(f"cannot dial {url}")
    signature = url.partition("X-Amz-Signature=")[2]
    assert len(signature) == 64
    assert signature not in shown
    assert quote(TOKEN, safe="") not in shown
    assert "AKIAEXAMPLE" not in shown
    assert "privateIpAddress=10.0.1.10" in shown
    assert shown.startswith("cannot dial wss://h.example/openTunnel?")


HARMLESS = [
    "opened web-1 in 45 ms (TCP 13, TLS 8, handshake 35), request ID 5c81db71-38ad-47ef-8c8b-b0edb1cdd5e0",
    "cannot get the password of i-0123456789abcdef0: EC2 has none yet",
    "passwords: none here",
    "ssh://web-1:22/ and ssh://ec2-user@web-1 and git@web-1:repository",
    "10.0.1.10:22 user@example.org http://[::1]:3128/",
    "the key pair's fingerprint SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJyR web-1",
    "X-Amz-Expires=60&X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "arn:aws:sts::123456789012:assumed-role/admin/me",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_by_value_in_each_spelling() -> None:
    secret = 'p"ä ss/wo+rd\\%'
    register(secret)
    for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert redact(f"a {form} b") == "a *** b"


def test_one_secret_within_another() -> None:
    register("secret-1", "secret-1-and-more")
    assert redact("x secret-1-and-more y secret-1 z") == "x *** y *** z"


def test_a_code_is_not_looked_for_within_numbers() -> None:
    register("123456")
    assert redact("code 123456, account 123456789012") == "code ***, account 123456789012"


def test_short_and_empty_ones_are_passed_over() -> None:
    register("", None, "abc")
    assert redact("abc") == "abc"


def test_the_newest_are_kept() -> None:
    for number in range(1000):
        register(f"secret-{number:04}-x", "in use all the time")
    assert redact("in use all the time") == "***"
    assert redact("secret-0999-x secret-0800-x") == "*** ***"
    assert redact("secret-0001-x") == "secret-0001-x"


def test_passwords_of_proxies() -> None:
    register_url("http://user:pa%24sword@proxy:3128")
    register_url("user:another-one@proxy")
    register_url("http://[broken")
    assert redact("pa$sword, pa%24sword, another-one") == "***, ***, ***"


@given(st.text(min_size=6, max_size=60), st.text(max_size=20))
def test_any_registered_value_is_gone(secret: str, around: str) -> None:
    register(secret)
    if not secret.isdigit():
        assert secret not in redact(f"{around}{secret}{around}").replace("***", "")


@given(st.text(max_size=300))
def test_any_text_can_be_redacted(text: str) -> None:
    redact(text)
