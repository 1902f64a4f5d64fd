"""failures: what the service says becomes the right error, exit code and hint."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.core import errors
from eicctl.core.model import Target
from eicctl.tunnel import errors as tunnel_errors

TARGET = Target("10.0.1.10", 22, "eice-0123456789abcdef0", "eice-1.example.com", "us-east-1")


def refusal(status: int, code: str = "", message: str = "", **headers: str) -> errors.EicctlError:
    body = json.dumps({"ErrorCode": code, "Message": message}).encode() if code or message else b""
    return tunnel_errors.refusal(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body, TARGET
    )


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "exit_code", "hint"),
    [
        (403, "AccessDeniedException", "no", errors.DeniedError, 4, "OpenTunnel"),
        (403, "AccessDeniedException", "", errors.DeniedError, 4, "maxTunnelDuration"),
        (401, "", "", errors.DeniedError, 4, "OpenTunnel"),
        (403, "ExpiredTokenException", "expired", errors.CredentialsError, 4, "renew"),
        (403, "SignatureDoesNotMatch", "…", errors.CredentialsError, 4, "secret access key"),
        (403, "UnrecognizedClientException", "invalid", errors.CredentialsError, 4, "secret access key"),
        (429, "", "", errors.ThrottledError, 6, "20 connections"),
        (400, "ThrottlingException", "Rate exceeded", errors.ThrottledError, 6, "try again in a moment"),
        (400, "LimitExceededException", "", errors.ThrottledError, 6, "20 connections"),
        (404, "ResourceNotFoundException", "gone", errors.NotFoundError, 3, "list-endpoints"),
        (400, "InvalidState", "deleting", errors.UnavailableError, 5, "list-endpoints"),
        (400, "InvalidParameter", "The specified RemotePort is not valid.", errors.RefusedError, 6, None),
        (503, "", "", errors.RefusedError, 6, None),
    ],
)
def test_refusals(
    status: int, code: str, message: str, kind: type[errors.EicctlError], exit_code: int, hint: str | None
) -> None:
    error = refusal(status, code, message)
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert code in error.message
    assert message in error.message
    assert hint is None or (error.hint and hint in error.hint)


@pytest.mark.parametrize(("status", "transient"), [(503, True), (500, True), (429, True), (403, False), (400, False)])
def test_only_what_may_pass_is_tried_again(status: int, transient: bool) -> None:
    assert refusal(status).transient is transient


def test_request_id_is_kept() -> None:
    assert refusal(403, "AccessDeniedException", x_amzn_requestid="r-1").request_id == "r-1"


@pytest.mark.parametrize(("ahead", "words"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_wrong_clock_is_named(ahead: int, words: str) -> None:
    theirs = format_datetime(datetime.now(UTC) - timedelta(seconds=ahead))
    error = refusal(403, "SignatureDoesNotMatch", date=theirs)
    assert error.hint
    assert words in error.hint


def test_a_right_clock_is_not_named() -> None:
    error = refusal(403, "SignatureDoesNotMatch", date=format_datetime(datetime.now(UTC)))
    assert error.hint
    assert "clock" not in error.hint


@given(status=st.integers(200, 599), body=st.binary(max_size=300), date=st.text(max_size=40))
def test_any_answer_gives_an_error(status: int, body: bytes, date: str) -> None:
    error = tunnel_errors.refusal(status, {"date": date}, body, TARGET)
    assert error.message
    assert error.exit_code in (3, 4, 5, 6)


def test_a_body_that_is_no_json_is_shown() -> None:
    error = tunnel_errors.refusal(403, {}, b"<html>Blocked by the company</html>", TARGET)
    assert "Blocked by the company" in error.message


def test_a_long_body_is_cut() -> None:
    assert len(tunnel_errors.refusal(500, {}, b"x" * 2**20, TARGET).message) < 700


def closing(code: int, reason: str = "", lived: float = 5, answered: bool = True) -> errors.EicctlError | None:
    return tunnel_errors.closing(code, reason, lived=lived, limit=3600, answered=answered, target=TARGET)


def test_a_normal_close_is_no_error() -> None:
    assert closing(1000) is None


def test_unable_to_connect_names_likely_causes() -> None:
    error = closing(1011, "Unable to connect to target", answered=False)
    assert isinstance(error, errors.TargetUnreachableError)
    assert error.hint
    assert "security group" in error.hint
    assert "port 22" in error.hint


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008])
def test_the_longest_duration_explains_any_close(code: int) -> None:
    error = closing(code, lived=3600.2)
    assert error
    assert "3600 s" in error.message


def test_a_connection_that_broke() -> None:
    assert isinstance(closing(1006), errors.NetworkError)


def test_any_other_close_shows_code_and_reason() -> None:
    error = closing(1008, "policy")
    assert error
    assert "1008" in error.message
    assert "policy" in error.message
