"""Profiles that are read without botocore, or left to it; test_fuzz_credentials.py compares with what it finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eicctl.aws.plain_profile import PlainProfile, read
from eicctl.aws.session import Session

PLAIN = "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s/+=1\n"


@pytest.fixture
def folder(home: Path) -> Path:
    (home / "credentials").write_text(PLAIN)
    return home


def test_plain_keys_are_read(folder: Path) -> None:
    assert read(None) == PlainProfile("default", "AKIA1", "s/+=1", None, {})
    (folder / "config").write_text("[default]\nregion = eu-west-1\nca_bundle = /ca.pem\n")
    assert read(None) == PlainProfile(
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
    assert read(None) is None


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


@pytest.mark.parametrize(
    "setting", ["endpoint_url = http://127.0.0.1:9", "services = s", "metadata_service_timeout = x"]
)
def test_keys_of_the_environment_with_a_profile_that_leads_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert read(None)
    (folder / "config").write_text(f"[default]\n{setting}\n")
    assert read(None) is None
