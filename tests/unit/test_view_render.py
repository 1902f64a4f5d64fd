"""Tables in terminals that are narrower."""

from __future__ import annotations

import re

import pytest
from rich.text import Text

from eicctl.core.columns import cut, fit, wrap
from eicctl.view.render import pairs, rows, show

INSTANCE, ENDPOINT = "i-0123456789abcdef0", "eice-0123456789abcdef0"


def table(*rows: tuple[str, ...]) -> list[tuple[str, list[Text]]]:
    headings = ("Name", "ID", "Endpoint", "Cause")
    return [
        (name, [Text(cell) for cell in cells]) for name, cells in zip(headings, zip(*rows, strict=True), strict=True)
    ]


def test_the_least_important_columns_are_dropped() -> None:
    from eicctl.view.render import _dropped

    found = table(("web-1", INSTANCE, ENDPOINT, "no rule"))
    assert _dropped(found, 80, ("Cause", "ID")) == []
    assert _dropped(found, 56, ("Cause", "ID")) == ["Cause"]
    assert _dropped(found, 40, ("Cause", "ID")) == ["ID", "Cause"]
    assert _dropped(found, 10, ()) == []


def test_columns_fit() -> None:
    assert fit([5, 0, 30], 80, [1]) == [5, 0, 30]
    assert fit([5, 40, 30, 9], 80, [3, 1], most={1: 20}) == [5, 30, 30, 9]  # what is left goes back
    assert fit([5, 40, 30, 9], 60, [3, 1], least={1: 10}) == [5, 21, 30, 0]
    assert fit([5, 40, 30], 40, [1], least={1: 10}) == [5, 0, 30]
    assert cut("名前" * 10, 10) == "名前名前…"


def test_columns_that_do_not_fit_follow_below() -> None:
    found = [line.plain for line in rows(table(("web-1", INSTANCE, ENDPOINT, "no rule"), ("b", "", "", "")), 40)]
    assert found == [
        "Name   ID",
        "    Endpoint                Cause",
        f"web-1  {INSTANCE}",
        f"    {ENDPOINT}  no rule",
        "b",
    ]


def test_what_is_empty_keeps_its_line_where_something_follows() -> None:
    found = [line.plain for line in rows(table(("web-1", INSTANCE, "", "no rule at all")), 30)]
    assert found == ["Name   ID", "    Endpoint  Cause", f"web-1  {INSTANCE}", "              no rule at all"]
    alone = [line.plain for line in rows(table(("web-1", INSTANCE, "", "no rule of the group lets it in")), 26)]
    assert alone[3:] == [f"web-1  {INSTANCE}", "    -", "    no rule of the group", "    lets it in"]


def test_no_word_is_broken_in_the_narrowest_terminal() -> None:
    for width in range(1, 90):
        shown = "\n".join(line.plain for line in rows(table(("web-1", INSTANCE, ENDPOINT, "not-one-rule")), width))
        for cell in ("web-1", INSTANCE, ENDPOINT, "not-one-rule"):
            assert cell in shown
        if width > len(ENDPOINT) + 4:
            assert max(map(len, shown.splitlines())) <= width


def test_wide_characters_count_twice() -> None:
    found = [line.plain for line in rows(table(("서울-1", INSTANCE, ENDPOINT, "a"), ("web", "i-1", "e", "b")), 30)]
    assert found[3] == f"서울-1  {INSTANCE}"
    assert found[6] == "web     i-1"


PAIRS = [
    ("InstanceConnectEndpointId", ENDPOINT),
    ("StateMessage", ""),
    ("SecurityGroupIds", "sg-0123456789abcdef0, sg-1123456789abcdef0, sg-2123456789abcdef0"),
    ("DnsName", f"{ENDPOINT}.0123456789.ec2-instance-connect-endpoint.us-east-1.amazonaws.com"),
]


def test_values_stand_beside_or_below_their_keys() -> None:
    assert [line.plain for line in pairs(PAIRS, 80)] == [
        f"InstanceConnectEndpointId  {ENDPOINT}",
        "StateMessage",
        "SecurityGroupIds           sg-0123456789abcdef0, sg-1123456789abcdef0,",
        "                           sg-2123456789abcdef0",
        "DnsName",
        f"{ENDPOINT}.0123456789.ec2-instance-connect-endpoint.us-east-1.amazonaws.com",
    ]


def test_no_line_is_blank_too_wide_or_padded() -> None:
    for width in range(30, 130):
        for line in pairs(PAIRS, width):
            assert line.plain
            assert line.plain == line.plain.rstrip()
            assert len(line.plain) <= width or " " not in line.plain
    assert len(list(pairs(PAIRS, None))) == len(PAIRS)
    assert list(pairs([], 80)) == []


def test_prose_is_broken_between_words() -> None:
    assert wrap("  no rule lets it in", 12) == ["  no rule", "  lets it in"]
    assert wrap("no rule lets it in", 12, "  ") == ["no rule lets", "  it in"]
    assert wrap("a  b", 80) == ["a  b"]
    assert wrap("", 80) == [""]
    assert wrap("서울 부산", 8) == ["서울", "부산"]
    assert wrap(f"see {ENDPOINT} for it", 10) == ["see", ENDPOINT, "for it"]


@pytest.mark.parametrize(("width", "name"), [(60, "데이터베이스 …"), (120, "데이터베이스 서버 " + "x" * 21 + "…")])
def test_one_long_name_does_not_break_all_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, name: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    row = {"Name": "데이터베이스 서버 " + "x" * 200, "ID": INSTANCE, "Endpoint": ENDPOINT}
    show([row], output="table", columns={key: key for key in row} | {"State": "ID"}, droppable=("State",))
    ran = capsys.readouterr()
    cells = [cell.rstrip() for cell in re.split(r"  +", ran.out.splitlines()[1])]
    assert cells[:3] == [name, INSTANCE, ENDPOINT]
    assert ran.err.endswith("ong names cut (--wide shows all)\n")
