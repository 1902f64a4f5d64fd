"""Sections of AWS configuration files: what is not eicctl's stays, byte for byte, and botocore reads the rest."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from botocore.configloader import raw_config_parse
from botocore.exceptions import ConfigParseError
from hypothesis import given
from hypothesis import strategies as st

from eicctl.aws.profile_files import config_profile, credentials_profile, has, owned, put, take

KEYS = ("aws_access_key_id", "aws_secret_access_key")
VALUES = {"aws_access_key_id": "ASIAX", "aws_secret_access_key": "a=b#;c", "eicctl_mfa_expiration": "2026-01-01"}


def parsed(text: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "credentials"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return dict(raw_config_parse(str(path)))


def with_session(text: str, name: str = "mfa") -> str:
    return put(text, credentials_profile, name, name, VALUES)


ODD = {
    "empty": "",
    "crlf": "[default]\r\nregion = a\r\n",
    "cr": "[default]\rregion = a\r",
    "no final newline": "[default]\nregion = a",
    "tabs and nested": "[default]\ns3 =\n\tmax = 1\n  [mfa]\nregion\t=\tb\n",
    "comments": "# one\n; two\n[default]\n#[mfa]\nregion = a # not a comment\n\n\n",
    "duplicate sections": "[a]\nx = 1\n[a]\nx = 2\n",
    "byte order mark": "\ufeff[default]\nregion = a\n",
    "not UTF-8": b"[default]\nregion = \xff\xfe\n".decode("utf-8", "surrogateescape"),
    "other line ends of Unicode": "[default]\nregion = a\x85[mfa]\x0b\n",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_everything_else_survives(text: str) -> None:
    written = with_session(text)
    assert written.startswith(text)
    assert owned(written, credentials_profile) == {"mfa": VALUES}
    back = take(written, credentials_profile, "mfa", KEYS)
    assert back in (text, text + "\n")
    assert with_session(back) == written


lines = st.sampled_from(
    [
        "[a]",
        "[b c]",
        "  [a]",
        "[profile x]",
        "k = v",
        "  k = v",
        "\tmore",
        "# [mfa]",
        "; x",
        "",
        "s3 =",
        "j: 1",
        "[mfa2] ;",
    ]
)
texts = st.tuples(st.lists(lines, max_size=12), st.sampled_from(["\n", "\r\n"])).map(
    lambda pair: "".join(line + pair[1] for line in pair[0])
)


@given(texts)
def test_botocore_reads_the_same_and_the_session(text: str) -> None:
    written = with_session(text)
    assert take(written, credentials_profile, "mfa", KEYS) == text
    try:
        before = parsed(text)
    except ConfigParseError:
        return
    assert parsed(written) == {**before, "mfa": VALUES}


@given(texts, texts)
def test_a_session_is_replaced_where_it_is(before: str, after: str) -> None:
    after = "[z]\n" + after
    text = with_session(before) + after
    new = put(text, credentials_profile, "mfa", "mfa", VALUES | {"aws_access_key_id": "ASIAY"})
    assert new == text.replace("ASIAX", "ASIAY")
    assert take(new, credentials_profile, "mfa", KEYS) == before + after


def test_what_others_have_added_stays() -> None:
    text = with_session("[a]\nx = 1\n") + "region = mine\n"
    assert "region = mine" in with_session(text)
    assert take(text, credentials_profile, "mfa", KEYS) == "[a]\nx = 1\n\n[mfa]\nregion = mine\n"


def test_a_section_without_the_mark_is_not_touched() -> None:
    text = "[mfa]\naws_access_key_id = AKIAX\n"
    assert has(text, credentials_profile, "mfa")
    assert owned(text, credentials_profile) == {}
    assert take(text, credentials_profile, "mfa", KEYS) == text


@pytest.mark.parametrize(
    ("header", "profile"),
    [
        ("profile a", "a"),
        ('profile "a b"', "a b"),
        ("default", "default"),
        ("a", ""),
        ("sso-session a", ""),
        ('profile "', ""),
    ],
)
def test_headers_of_the_config_file(header: str, profile: str) -> None:
    assert config_profile(header) == profile
