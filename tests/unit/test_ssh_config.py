"""Files of ssh_config(5) as text, and the names of hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.ssh.config_text import Block, merged, with_include, without_include
from eicctl.ssh.host_names import HostName, host_name, parse

PATH = "/home/ann/.ssh/eicctl/config"


def block(name: str, user: str = "u") -> Block:
    return Block((f"{name}.eic", f"{name}.eu-west-1.eic"), {"User": user, "Port": "22"}, "a comment")


def test_a_block() -> None:
    assert block("web").text() == "Host web.eic web.eu-west-1.eic\n  # a comment\n  User u\n  Port 22\n"


def test_writing_again_changes_nothing() -> None:
    once = merged("", "default eu-west-1", [block("a"), block("b")], whole=True)
    assert merged(once, "default eu-west-1", [block("a"), block("b")], whole=True) == once


def test_named_hosts_join_and_all_replaces() -> None:
    text = merged("", "p r", [block("a"), block("b")], whole=True)
    text = merged(text, "p r", [block("b", "new"), block("c")], whole=False)
    assert text.count("Host ") == 3
    assert "User new" in text
    text = merged(text, "p r", [block("c")], whole=True)
    assert "Host a.eic" not in text


def test_other_sections_stay() -> None:
    text = merged("", "prod us-east-1", [block("a")], whole=True)
    text = merged(text, "test us-east-1", [block("b")], whole=True)
    assert "Host a.eic" in text
    assert "Host b.eic" in text


def test_patterns_come_last() -> None:
    pattern = Block(("*.eic",), {"User": "u"})
    text = merged("", "p r", [pattern], whole=False)
    text = merged(text, "p r", [block("a")], whole=False)
    assert text.index("Host a.eic") < text.index("Host *.eic")


def test_the_include_is_on_top_and_once() -> None:
    before = "Host *\n  User ann\n"
    text = with_include(before, PATH)
    assert text == f'Include "{PATH}"\n{before}'
    assert with_include(text, PATH) == text
    assert without_include(text, PATH) == before


def test_an_include_below_a_host_does_not_count() -> None:
    before = f"Host x\n  Include {PATH}\n"
    assert with_include(before, PATH).startswith(f'Include "{PATH}"\n')


@given(st.text())
def test_the_users_lines_are_untouched(text: str) -> None:
    included = with_include(text, PATH)
    assert included.endswith(text)
    assert without_include(included, PATH) == without_include(text, PATH)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web-1.eic", HostName("web-1")),
        ("web-1.eu-west-1.eic", HostName("web-1", None, "eu-west-1")),
        ("web-1.prod.eic", HostName("web-1", "prod")),
        ("web-1.prod.eu-west-1.eic", HostName("web-1", "prod", "eu-west-1")),
        ("web.1.prod.us-gov-west-1.eic", HostName("web.1", "prod", "us-gov-west-1")),
        ("web-1.other.eic", HostName("web-1.other")),
        ("web-1.a.b.eic", HostName("web-1", "a.b")),
        ("prod.eic", HostName("prod")),
        ("i-0123456789abcdef0.eic", HostName("i-0123456789abcdef0")),
        ("web-1", None),
        (".eic", None),
    ],
)
def test_host_names(name: str, expected: HostName | None) -> None:
    assert parse(name, ["prod", "a.b"]) == expected


@pytest.mark.parametrize("name", ["a b", "*", "a;b", "-x", "", "a\nHost *", "ü", "$(x)"])
def test_no_name_of_an_instance_becomes_a_setting(name: str) -> None:
    assert host_name(name) in (None, ".eic")


def test_a_name_is_read_as_it_was_written() -> None:
    written = host_name("web-1", "prod", "eu-west-1")
    assert written
    assert parse(written, ["prod"]) == HostName("web-1", "prod", "eu-west-1")
