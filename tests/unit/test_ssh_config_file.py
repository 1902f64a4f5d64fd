"""Files of ssh_config(5) as text, and the names of hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl.ssh.config_file import Block, Merged, Section, include_line, merged, with_include, without_include
from eicctl.ssh.proxy_tunnel import HostName, host_name, parse

PATH = "/home/ann/.ssh/eicctl/config"


HERE = Section("111111111111", "eu-west-1", "dev")


def block(name: str, user: str = "u") -> Block:
    return Block((f"{name}.eic", f"{name}.eu-west-1.eic"), ("# a comment", f"User {user}", "Port 22"))


def test_a_block() -> None:
    assert block("web").text() == "Host web.eic web.eu-west-1.eic\n  # a comment\n  User u\n  Port 22\n"


def test_writing_again_changes_nothing() -> None:
    blocks = [block("a"), block("b"), Block(("*.eic",), ("User u",))]
    once = merged("", HERE, blocks, whole=True).text
    assert merged(once, HERE, blocks, whole=True) == Merged(once)


def test_named_hosts_join_and_all_replaces() -> None:
    text = merged("", HERE, [block("a"), block("b")], whole=True).text
    joined = merged(text, HERE, [block("b", "new"), block("c")], whole=False)
    assert joined.text.count("Host ") == 3
    assert "User new" in joined.text
    assert joined.gone == ()
    replaced = merged(joined.text, HERE, [block("c")], whole=True)
    assert "Host a.eic" not in replaced.text
    assert set(replaced.gone) == {"a.eic", "a.eu-west-1.eic", "b.eic", "b.eu-west-1.eic"}


def test_other_sections_stay() -> None:
    text = merged("", HERE, [block("a")], whole=True).text
    for other in (Section("222222222222", "eu-west-1"), Section("111111111111", "us-east-1", "dev"), ELSEWHO):
        text = merged(text, other, [block("b")], whole=True).text
        assert "Host a.eic" in text
        assert text.count("Host b.eic") == 1


ELSEWHO = Section("111111111111", "eu-west-1", "read only")


def in_full(name: str, profile: str) -> Block:
    return Block((f"{name}.eic", f"{name}.{profile}.eic"), (f"User {profile}",))


def test_another_account_takes_no_name_away() -> None:
    text = merged("", HERE, [in_full("web", "dev")], whole=True).text
    other = Section("222222222222", "eu-west-1", "prod")
    both = merged(text, other, [in_full("web", "prod")], whole=True)
    assert "Host web.eic web.dev.eic\n  User dev" in both.text
    assert "Host web.prod.eic\n  User prod" in both.text
    assert both.refused == {"web.eic": HERE}
    assert (both.gone, both.moved) == ((), {})


def test_another_profile_of_the_account_takes_the_short_names_and_leaves_the_rest() -> None:
    text = merged("", HERE, [in_full("web", "dev"), in_full("app", "dev")], whole=True).text
    both = merged(text, ELSEWHO, [in_full("web", "ro")], whole=True)
    assert "Host web.dev.eic\n  User dev" in both.text
    assert "Host app.eic app.dev.eic\n  User dev" in both.text
    assert "Host web.eic web.ro.eic\n  User ro" in both.text
    assert both.moved == {"web.eic": HERE}
    assert (both.gone, both.refused) == ((), {})


def test_a_section_is_read_as_it_was_written() -> None:
    for section in (HERE, ELSEWHO, Section("111111111111", "eu-west-1"), Section("", "default us-east-1")):
        assert Section.parse(str(section)) == section


def test_patterns_come_last() -> None:
    pattern = Block(("*.eic",), ("User u",))
    text = merged("", HERE, [pattern], whole=False).text
    for section in (HERE, Section("222222222222", "us-east-1")):
        text = merged(text, section, [block(section.account)], whole=True).text
        assert text.index(f"Host {section.account}.eic") < text.index("Host *.eic")
    taken = merged(text, ELSEWHO, [pattern], whole=False)
    assert taken.text.count("Host *.eic") == 1
    assert taken.moved == {"*.eic": HERE}


def test_the_include_is_on_top_and_once() -> None:
    before = "Host *\n  User ann\n"
    text = with_include(before, PATH)
    assert text == f'Include "{PATH}"\n{before}'
    assert with_include(text, PATH) == text
    assert without_include(text, PATH) == before


def test_an_include_below_a_host_does_not_count() -> None:
    before = f"Host x\n  Include {PATH}\n"
    assert with_include(before, PATH).startswith(f'Include "{PATH}"\n')


@pytest.mark.parametrize("path", ["/home/x y'q\"%h é/.ssh/c", "/a\\b/[c]*?/${d}/c"])
def test_the_include_of_any_path_is_found_again(path: str) -> None:
    assert without_include(with_include("Host *\n", path), path) == "Host *\n"
    assert "%" not in include_line(path)


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
