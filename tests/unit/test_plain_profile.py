"""Profiles that are read without botocore: the same keys and settings as botocore finds, or left to it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.session
import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from eicctl.aws.plain_profile import PlainProfile, read
from eicctl.aws.session import Session

PLAIN = "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s/+=1\n"


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "AWS_CONFIG_FILE": str(folder / "config")}
    return {**kept, **files, "AWS_EC2_METADATA_DISABLED": "true", **more}


def found(folder: Path, profile: str | None = None) -> PlainProfile | None:
    return read(folder / "credentials", folder / "config", profile)


def by_botocore(profile: str | None) -> dict[str, Any]:
    session = botocore.session.Session(profile=profile)
    keys = session.get_credentials()
    assert keys
    frozen = keys.get_frozen_credentials()
    return {
        "keys": (frozen.access_key, frozen.secret_key, frozen.token),
        "region": session.get_config_variable("region") or None,
        "ca_bundle": session.get_config_variable("ca_bundle") or None,
    }


names = st.sampled_from(["default", "a", "b.c"])
titles = st.sampled_from(
    ["[default]", "[a]", "[b.c]", "[profile a]", "[profile  b.c]", "[profile 'a']", "[profile default]"]
)
lines = st.sampled_from(
    [
        "aws_access_key_id = AKIA1",
        "AWS_ACCESS_KEY_ID=AKIA2",
        "aws_secret_access_key = a=b#c;d",
        "aws_secret_access_key: x",
        "aws_secret_access_key =",
        "aws_session_token = t",
        "aws_security_token = t2",
        "region = eu-west-1",
        "region =\n  nested = 1",
        "  continued",
        "ca_bundle = /ca.pem",
        "role_arn = arn:aws:iam::123456789012:role/r",
        "source_profile = a",
        "credential_process = false",
        "sso_start_url = https://example.com",
        "output = json",
        "# aws_access_key_id = no",
        "nonsense",
        "",
    ]
)
files = st.lists(st.tuples(titles, st.lists(lines, max_size=4)), max_size=3).map(
    lambda sections: "\n".join(line for title, body in sections for line in (title, *body))
)


@bounds(max_examples=150, deadline=None)
@given(files, files, st.none() | names, st.none() | names)
def test_what_is_read_is_what_botocore_finds(
    credentials: str, config: str, option: str | None, named: str | None
) -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "credentials").write_text(credentials)
        (folder / "config").write_text(config)
        more = {"AWS_PROFILE": named} if named else {}
        with mock.patch.dict(os.environ, environment(folder, **more), clear=True):
            plain = found(folder, option)
            if plain is None:
                return
            expected = by_botocore(option)
    assert (plain.access_key_id, plain.secret_access_key, plain.session_token) == expected["keys"]
    assert {name: plain.settings.get(name) or None for name in ("region", "ca_bundle")} == {
        name: expected[name] for name in ("region", "ca_bundle")
    }


@pytest.fixture
def folder(home: Path) -> Path:
    (home / "credentials").write_text(PLAIN)
    return home


def test_plain_keys_are_read(folder: Path) -> None:
    assert found(folder) == PlainProfile("default", "AKIA1", "s/+=1", None, {})
    (folder / "config").write_text("[default]\nregion = eu-west-1\nca_bundle = /ca.pem\n")
    assert found(folder) == PlainProfile(
        "default", "AKIA1", "s/+=1", None, {"region": "eu-west-1", "ca_bundle": "/ca.pem"}
    )


@pytest.mark.parametrize(
    "config",
    [
        "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = a\n",
        "[default]\nsso_session = s\n",
        "[default]\nsomething_new = 1\n",
        "[default]\nregion = a\n[default]\nregion = b\n",
        "nonsense\n",
    ],
)
def test_what_is_special_or_broken_is_left_to_botocore(folder: Path, config: str) -> None:
    (folder / "config").write_text(config)
    assert found(folder) is None


def test_a_session_reads_it_and_the_environment_s_region(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config").write_text("[default]\nregion = eu-west-1\n")
    session = Session()
    keys = session.credentials()
    assert (keys.access_key_id, keys.secret_access_key, keys.profile) == ("AKIA1", "s/+=1", "default")
    assert session.region == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert Session().region == "us-west-2"


def test_new_keys_in_the_file_are_used(folder: Path) -> None:
    session = Session()
    assert session.credentials().access_key_id == "AKIA1"
    (folder / "credentials").write_text(PLAIN.replace("AKIA1", "AKIA22"))
    assert session.credentials().access_key_id == "AKIA22"


def test_no_botocore_is_loaded_for_them(folder: Path) -> None:
    code = (
        "import sys; from eicctl.aws.session import Session; s = Session(region='us-east-1'); "
        "print(s.credentials().access_key_id, s.region, s.ca_bundle, 'botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["AKIA1", "us-east-1", "None", "False"]
