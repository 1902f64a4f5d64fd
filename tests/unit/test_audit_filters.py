"""The words of `eicctl audit`: times and filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eicctl.audit.correlation import Row
from eicctl.audit.filters import Choice, moment
from eicctl.audit.records import event_of
from eicctl.core.errors import UsageError
from tests.trail_records import ENDPOINT, START, tunnel

NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "ago"),
    [
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("90 m", timedelta(minutes=90)),
        ("2W", timedelta(weeks=2)),
    ],
)
def test_times_ago(words: str, ago: timedelta) -> None:
    assert moment(words, NOW, "--since") == NOW - ago


def test_times_of_a_zone_and_of_here() -> None:
    assert moment("2026-11-20T08:30:00Z", NOW, "--since") == datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    assert moment("2026-11-20T08:30+02:00", NOW, "--since") == datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
    assert moment("2026-11-20", NOW, "--since") == datetime(2026, 11, 20).astimezone(UTC)


@pytest.mark.parametrize("words", ["", "yesterday", "24", "h", "999999w", "2026-13-01", "-3d"])
def test_words_that_mean_nothing(words: str) -> None:
    with pytest.raises(UsageError, match="--until"):
        moment(words, NOW, "--until")


def row(**more: Any) -> Row:
    event = event_of(tunnel(START, **more))
    assert event
    return Row(event, instance_id="i-0abc", instance_name="web-1", endpoint_name="office")


@pytest.mark.parametrize(
    ("choice", "has"),
    [
        (Choice(), True),
        (Choice(user="dev/ann"), True),
        (Choice(user="ANN"), True),
        (Choice(user="dev/*"), True),
        (Choice(user="*:assumed-role/dev/ann"), True),
        (Choice(user="ASIADEV"), True),
        (Choice(user="an"), False),
        (Choice(target="web-?"), True),
        (Choice(target="i-0abc"), True),
        (Choice(target="10.0.1.*"), True),
        (Choice(target="app-1"), False),
        (Choice(endpoint="office"), True),
        (Choice(endpoint=ENDPOINT), True),
        (Choice(endpoint="eice-other"), False),
        (Choice(denied=True), False),
        (Choice(since=START), True),
        (Choice(since=START + timedelta(seconds=1)), False),
        (Choice(until=START), False),
    ],
)
def test_filters(choice: Choice, has: bool) -> None:
    assert choice.has(row()) is has


def test_refused_is_for_any_reason() -> None:
    assert Choice(denied=True).has(row(error="AccessDeniedException"))
    assert Choice(denied=True).has(row(error="InvalidParameter"))
    assert not Choice(denied=True).has(row(error="Client.DryRunOperation"))


def test_a_key_before_the_period_may_be_needed() -> None:
    event = row().event
    assert Choice(since=START + timedelta(seconds=30)).may_need(event)
    assert not Choice(since=START + timedelta(minutes=2)).may_need(event)
    assert not Choice(user="someone-else").may_need(event)
