"""Natural order, folded lists, and the names near a word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eicctl.core.errors import NotFoundError
from eicctl.core.names import correct, counted, folded, natural, natural_key, near

PROD = [f"prod-web-{number}" for number in range(1, 26)]


def test_numbers_are_in_their_order() -> None:
    assert natural(["web-10", "web-2", "Web-1", "db", "web-2", "a1b20", "a1b3", ""]) == [
        *("", "a1b3", "a1b20", "db", "Web-1", "web-2", "web-10")
    ]


def test_counts_have_their_noun() -> None:
    shown = [counted(number, "unused address", "unused addresses") for number in (0, 1, 2)]
    assert shown == ["0 unused addresses", "1 unused address", "2 unused addresses"]
    assert [counted(number, "tunnel") for number in (1, 2500)] == ["1 tunnel", "2,500 tunnels"]


@given(st.lists(st.text(alphabet="ab01\xb2\u0663")))
def test_any_names_have_an_order(names: list[str]) -> None:
    turned = list(reversed(names))
    assert sorted(names, key=natural_key) == sorted(turned, key=natural_key)


@given(st.text(), st.lists(st.text()))
def test_any_word_is_compared(word: str, names: list[str]) -> None:
    assert set(near(word, names)) <= set(names)
    assert "\n" in "".join(names) or "\n" not in folded(names)


def test_runs_of_numbers_are_folded() -> None:
    assert folded([*PROD, "db"]) == "db, prod-web-1 … prod-web-25"
    assert folded(["web-1", "web-2"]) == "web-1, web-2"
    assert folded(["w1", "w2", "w3", "w5"]) == "w1 … w3, w5"
    assert folded(["w08", "w09", "w10"]) == "w08 … w10"
    assert folded(list("abcdef"), most=2) == "a, b and 4 more"
    assert folded([f"{'9' * 5000}{number}" for number in range(3)])


def test_what_may_have_been_meant() -> None:
    assert near("web1", ["web-1", "web-2", "db"])[0] == "web-1"
    assert near("wbe-1", ["web-1", "db"]) == ["web-1"]
    assert near("prod-web", ["web-1", *PROD]) == PROD
    assert near("WEB_1", ["web-1"]) == ["web-1"]
    assert near("nobody", ["web-1", *PROD]) == []
    assert near("--", ["web-1", ""]) == []


def test_an_error_names_the_likeliest() -> None:
    one, many = NotFoundError("No X"), NotFoundError("No X")
    correct(one, "web1", ["web-1", "web-10"])
    correct(many, "prod-web", PROD)
    assert (one.message, one.correction) == ("No X. Did you mean web-1?", ("web1", "web-1", "", ""))
    assert (many.message, many.correction) == (
        "No X; similar names: prod-web-1 … prod-web-25",
        ("prod-web", "prod-web-1", "", ""),
    )
