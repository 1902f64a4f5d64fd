"""Security groups: what lets a connection from an endpoint to a target through."""

from __future__ import annotations

import pytest

from eicctl.emulator.control.backends import matches
from eicctl.emulator.control.network import Peer, Rule, group_blocking

ENDPOINT = Peer("10.0.1.7", ("sg-endpoint",))
TARGET = Peer("10.0.2.9", ("sg-target",))
ANY = Rule(0, 65_535, cidr="0.0.0.0/0")


@pytest.mark.parametrize(
    ("egress", "ingress", "blocked_by"),
    [
        ([ANY], [ANY], None),
        ([], [ANY], "outbound"),
        ([ANY], [], "inbound"),
        ([Rule(22, 22, cidr="10.0.2.0/24")], [ANY], None),
        ([Rule(22, 22, cidr="10.0.1.0/24")], [ANY], "outbound"),
        ([Rule(22, 22, group_id="sg-target")], [ANY], None),
        ([Rule(22, 22, group_id="sg-endpoint")], [ANY], "outbound"),
        ([Rule(3389, 3389, cidr="0.0.0.0/0")], [ANY], "outbound"),
        ([ANY], [Rule(22, 22, group_id="sg-endpoint")], None),
        ([ANY], [Rule(22, 22, group_id="sg-target")], "inbound"),
        ([ANY], [Rule(22, 22, cidr="10.0.1.7/32")], None),
        ([ANY], [Rule(22, 22, cidr="10.0.2.0/24")], "inbound"),
        ([ANY], [Rule(0, 21, cidr="0.0.0.0/0"), Rule(23, 65_535, cidr="0.0.0.0/0")], "inbound"),
        ([ANY], [Rule(22, 22, cidr="::/0")], "inbound"),
        ([ANY], None, None),
        ([], None, "outbound"),
    ],
)
def test_both_sides_must_agree(egress: list[Rule], ingress: list[Rule] | None, blocked_by: str | None) -> None:
    reason = group_blocking(port=22, source=ENDPOINT, target=TARGET, egress=egress, ingress=ingress)
    assert (reason is None) == (blocked_by is None)
    assert blocked_by is None or f"no {blocked_by} rule" in str(reason)


@pytest.mark.parametrize(
    ("pattern", "value", "found"),
    [
        ("web", "web", True),
        ("web", "Web", False),
        ("web", "web-1", False),
        ("web*", "web-1", True),
        ("*", "", True),
        ("?", "", False),
        ("w?b", "wib", True),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        (r"\*", "*", True),
        (r"\*", "x", False),
        (r"\?\\", "?\\", True),
        ("a.c", "abc", False),
        ("a*c", "a\nc", True),
        ("end\\", "end\\", True),
    ],
)
def test_filter_values(pattern: str, value: str, found: bool) -> None:
    assert matches([pattern], [value]) is found
    assert matches(["other", pattern], ["nothing", value]) is (found or pattern == "*")


def test_no_patterns_match_nothing() -> None:
    assert not matches([], ["a"])
    assert not matches(["*"], [])
