"""Tables in terminals that are narrower."""

from __future__ import annotations

from rich.text import Text

from eicctl.cli.narrow import lines

INSTANCE, ENDPOINT = "i-0123456789abcdef0", "eice-0123456789abcdef0"


def table(*rows: tuple[str, ...]) -> dict[str, list[Text]]:
    headings = ("Name", "ID", "Endpoint", "Cause")
    return {name: [Text(cell) for cell in cells] for name, cells in zip(headings, zip(*rows, strict=True), strict=True)}


def test_columns_that_do_not_fit_follow_below() -> None:
    found = [line.plain for line in lines(table(("web-1", INSTANCE, ENDPOINT, "no rule"), ("b", "", "", "")), 40)]
    assert found == [
        "Name   ID",
        "    Endpoint                Cause",
        f"web-1  {INSTANCE}",
        f"    {ENDPOINT}  no rule",
        "b",
    ]


def test_what_is_empty_keeps_its_line_where_something_follows() -> None:
    found = [line.plain for line in lines(table(("web-1", INSTANCE, "", "no rule at all")), 30)]
    assert found == ["Name   ID", "    Endpoint  Cause", f"web-1  {INSTANCE}", "              no rule at all"]
    alone = [line.plain for line in lines(table(("web-1", INSTANCE, "", "no rule of the group lets it in")), 26)]
    assert alone[3:] == [f"web-1  {INSTANCE}", "", "    no rule of the group", "    lets it in"]


def test_no_word_is_broken_in_the_narrowest_terminal() -> None:
    for width in range(1, 90):
        shown = "\n".join(line.plain for line in lines(table(("web-1", INSTANCE, ENDPOINT, "not-one-rule")), width))
        for cell in ("web-1", INSTANCE, ENDPOINT, "not-one-rule"):
            assert cell in shown
        if width > len(ENDPOINT) + 4:
            assert max(map(len, shown.splitlines())) <= width


def test_wide_characters_count_twice() -> None:
    found = [line.plain for line in lines(table(("서울-1", INSTANCE, ENDPOINT, "a"), ("web", "i-1", "e", "b")), 30)]
    assert found[3] == f"서울-1  {INSTANCE}"
    assert found[6] == "web     i-1"
