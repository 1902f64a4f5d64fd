"""What is counted, the findings, and that the page is what it should be whatever is in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eicctl.audit import summary as limits
from eicctl.audit.correlation import Directory, joined
from eicctl.audit.page import Heading, page
from eicctl.audit.records import CHANGES, event_of
from eicctl.audit.summary import OfficeHours, Summary, findings
from eicctl.support.html import Markup, element
from tests.trail_records import START, Record, record, tunnel

WEEK = timedelta(days=7)


def summed(records: Iterable[Record], period: timedelta = WEEK) -> Summary:
    """The summary of a period from `START` on, in UTC."""
    found = Summary(START, START + period, OfficeHours(), lambda time: time.astimezone(UTC))
    events = [event for one in records if (event := event_of(one))]
    for row in joined(sorted(events, key=lambda event: event.time), Directory()):
        found.add(row)
    return found


def titles(records: Iterable[Record]) -> list[str]:
    return [finding.title for finding in findings(summed(records))]


GOOD: Record = {"mfa": True, "duration": "600"}


def test_an_ordinary_week_has_little_that_stands_out() -> None:
    assert titles(tunnel(START + timedelta(days=day), **GOOD) for day in range(5)) == [
        "1 address with no known instance"
    ]


@pytest.mark.parametrize(
    ("records", "title"),
    [
        ([tunnel(START, error="AccessDeniedException")], "1 call denied"),
        ([tunnel(START, error="InvalidParameter", **GOOD)], "1 call failed for other reasons"),
        ([tunnel(START, mfa=False, duration="600")], "1 call by sessions without MFA"),
        ([tunnel(START, mfa=None, who="ann", duration="600")], "1 call with unknown MFA status"),
        ([tunnel(START, mfa=True)], "1 tunnel with no max duration"),
        ([tunnel(START + timedelta(hours=13), **GOOD)], "1 connection outside office hours"),
        ([tunnel(START + timedelta(days=5), **GOOD)], "1 connection outside office hours"),
        ([tunnel(START, port="5432", **GOOD)], "Requests for ports other than 22 and 3389"),
        ([record("DeleteInstanceConnectEndpoint", START, {})], "1 endpoint change"),
        ([tunnel(START) | {"userIdentity": {"type": "Root"}}], "Root user activity"),
    ],
)
def test_each_rule(records: list[Record], title: str) -> None:
    assert title in titles(records)


DRY_RUN = "Client.DryRunOperation"


@pytest.mark.parametrize("code", [DRY_RUN, "Client.UnauthorizedOperation", "InvalidParameter"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_no_endpoint_is_no_endpoint_change(name: str, code: str) -> None:
    records = [record(name, START, {"InstanceConnectEndpointId": "eice-1"}, error=code)]
    found = summed(records)
    assert (found.total.changes, len(found.changes), found.total.events) == (0, 0, 1)
    assert (found.total.refused, len(found.refusals)) == ((0, 0) if code == DRY_RUN else (1, 1))
    assert not any("endpoint change" in title for title in titles(records))
    assert "Endpoint changes" not in page(found, Heading("", "", START))
    done = summed([*records, record(name, START, {"InstanceConnectEndpointId": "eice-1"})])
    assert (done.total.changes, len(done.changes), done.total.events) == (1, 1, 2)


def test_a_tunnel_that_was_refused_could_not_last_an_hour() -> None:
    """As when a policy wants a duration, and a client tries without one first."""
    assert not any("max duration" in title for title in titles([tunnel(START, error="AccessDeniedException")]))


def test_new_sources_are_those_of_known_principals_in_the_second_half() -> None:
    late = START + timedelta(days=4)
    records = [
        tunnel(START, sourceIPAddress="203.0.113.1"),
        tunnel(START, sourceIPAddress="203.0.113.2"),
        tunnel(late, sourceIPAddress="203.0.113.2"),
        tunnel(late, sourceIPAddress="198.51.100.9"),
        tunnel(late, who="ops/new", sourceIPAddress="198.51.100.7"),
    ]
    found = {finding.title: finding for finding in findings(summed(records))}
    (new,) = found["1 new source address"].items
    assert new[0] == "dev/ann"
    assert new[1].startswith("198.51.100.9, first at 2026-11-06")
    assert found["1 new principal"].items[0][0] == "ops/new"


def test_refused_connections_are_not_off_hours_ones() -> None:
    assert not any("office hours" in title for title in titles([tunnel(START + timedelta(hours=13), error="x")]))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_ENTRIES", "MOST_MEMBERS", "MOST_PAIRS"):
        monkeypatch.setattr(limits, name, 10)
    records = [
        tunnel(START + timedelta(minutes=n), f"10.0.{n % 250}.9", who=f"dev/u{n}", sourceIPAddress=f"203.0.113.{n}")
        for n in range(200)
    ]
    found = summed(records)
    assert len(found.principals) == len(found.targets) == 11
    assert found.principals[limits.OTHERS].tunnels == 190
    assert str(found.total.sources) == "10+"
    assert len(found.first_seen) == 10
    assert sum(bucket.ok for bucket in found.buckets) == 200


@pytest.mark.parametrize("period", [timedelta(0), timedelta(hours=1), timedelta(days=90), timedelta(days=5_000)])
def test_bars_are_few_whatever_the_period(period: timedelta) -> None:
    found = summed([tunnel(START), tunnel(START + period)], period)
    assert 1 <= len(found.buckets) <= limits.MOST_BUCKETS * 4
    assert sum(bucket.ok for bucket in found.buckets) == 2


HEADING = Heading("a test", "", datetime(2026, 11, 9, tzinfo=UTC))


class Reader(HTMLParser):
    """Collects elements, attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b[31m"


def hostile_records() -> list[Record]:
    """Records in which every text that others choose is an attempt to be markup."""
    return [
        tunnel(START, HOSTILE, who=f"dev/{HOSTILE}", userAgent=HOSTILE, sourceIPAddress=HOSTILE),
        tunnel(START, error=HOSTILE, errorMessage=HOSTILE),
        record("ModifyInstanceConnectEndpoint", START, {}, who=f"{HOSTILE}/x"),
    ]


def test_hostile_names_are_text() -> None:
    good, bad = page(summed([tunnel(START)]), HEADING), page(summed(hostile_records()), HEADING)
    assert Reader(bad).names <= Reader(good).names | {"rect", "g"}
    assert not {name for name, _ in Reader(bad).attributes if name.startswith("on") or name in ("src", "href", "style")}
    assert "<script>alert(1)</script>" in Reader(bad).text
    assert "\u202e" not in bad
    assert "\x1b" not in bad


def test_the_page_stands_alone() -> None:
    text = page(summed([tunnel(START), tunnel(START, error="AccessDenied")]), HEADING)
    policies = [value for name, value in Reader(text).attributes if name == "content" and "default-src" in str(value)]
    assert [str(policy).partition(";")[0] for policy in policies] == ["default-src 'none'"]
    assert not re.findall(r"https?://|url\(|@import", text)
    (script,) = re.findall("<script>(.*?)</script>", text, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}';" in str(policies[0])


def test_a_page_of_nothing() -> None:
    assert "No findings." in page(summed([]), HEADING)


@settings(deadline=None)
@given(st.text(), st.text())
def test_an_element_holds_any_text(content: str, value: str) -> None:
    text = element("p", content, title=value)
    reader = Reader(text)
    assert reader.names == {"p"}
    assert len(reader.attributes) == 1
    assert element("b", Markup("<i>x</i>")) == "<b><i>x</i></b>"
