"""A clock that is off is named, with by how much, whatever a service calls it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from eicctl.aws.errors import translate
from eicctl.core import errors
from eicctl.support import clock


def date(seconds_ahead: float) -> str:
    """The Date of a server's answer, for a machine that is so many seconds ahead of it."""
    return format_datetime(datetime.now(UTC) - timedelta(seconds=seconds_ahead), usegmt=True)


def refusal(code: str, message: str, answered: str) -> errors.EicctlError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 403, "HTTPHeaders": {"date": answered}},
    }
    return translate(ClientError(response, "DescribeInstances"), "look up instances")


@pytest.mark.parametrize(
    "code",
    [
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "AuthFailure",
        "ExpiredToken",
    ],
)
@pytest.mark.parametrize(("ahead", "words"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_refusal_with_another_date_is_the_clocks(code: str, ahead: float, words: str) -> None:
    error = refusal(code, "no", date(ahead))
    assert isinstance(error, errors.CredentialsError)
    assert error.hint
    assert f"s {words} AWS's" in error.hint
    seconds = float(error.hint.partition("clock is ")[2].split()[0])
    assert abs(seconds - 3600) < 5
    assert clock.how_to_set() in error.hint


@pytest.mark.parametrize(("code", "hint"), [("RequestExpired", "aws sso login"), ("SignatureDoesNotMatch", "secret")])
def test_the_same_refusal_at_the_right_time_is_not(code: str, hint: str) -> None:
    error = refusal(code, "no", date(0))
    assert error.hint
    assert hint in error.hint


def test_a_skew_that_the_service_names_needs_no_date() -> None:
    error = refusal("RequestTimeTooSkewed", "The difference is too large.", "")
    assert isinstance(error, errors.CredentialsError)
    assert error.hint
    assert clock.how_to_set() in error.hint


@pytest.mark.parametrize("text", ["", "yesterday", "Thu, 99 Foo 2026 00:00:00 GMT"])
def test_a_date_that_is_none(text: str) -> None:
    assert clock.complaint(text) is None


def test_a_presigned_url_bears_less() -> None:
    assert clock.complaint(date(-100)) is None
    assert clock.complaint(date(-100), behind=55)
    assert clock.complaint(date(100), behind=55) is None


def test_pauses_grow_up_to_the_longest_with_jitter() -> None:
    backoff = clock.Backoff(1.0, 5.0)
    for longest in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert longest / 2 <= backoff.pause() <= longest
    backoff.reset()
    assert 0.5 <= backoff.pause() <= 1.0


def test_growth_and_jitter_can_be_chosen() -> None:
    backoff = clock.Backoff(1.0, 10.0, growth=1.5, jitter=0.0)
    assert [backoff.pause() for _ in range(3)] == [1.0, 1.5, 2.25]
