"""Targets that are remembered: for whom, for how long, and what if the file is not what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from eicctl.aws.session import Session
from eicctl.aws.target_cache import LIFETIME, TargetCache
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.support import paths

REQUEST = ConnectRequest(target="web-1")
TARGET = Target("10.0.1.10", 22, "eice-1", "eice-1.example.com", "eu-west-1", "i-1", "web-1")
THEN = 1_000_000.0


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, value in {
        "EICCTL_HOME": str(tmp_path / "home"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_ACCESS_KEY_ID": "AKIA1",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return tmp_path


def known(request: ConnectRequest = REQUEST, *, later: float = 1.0, session: Session | None = None) -> Target | None:
    return TargetCache(session or Session(), THEN + later).get(request)


def put(request: ConnectRequest = REQUEST) -> None:
    TargetCache(Session(), THEN).put(TARGET, request)


def test_a_target_is_remembered_for_some_minutes() -> None:
    assert known() is None
    put()
    assert known() == TARGET
    assert known(later=LIFETIME - 1) == TARGET
    assert known(later=LIFETIME + 1) is None
    assert known(later=-10) is None, "the clock was set back"


def test_for_equal_words_only() -> None:
    put()
    assert known(REQUEST.replace(remote_port=3389)) is None
    assert known(REQUEST.replace(endpoint_id="eice-2")) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_ACCESS_KEY_ID", "AKIA2"), ("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", "http://here")],
)
def test_for_the_same_caller_only(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    put()
    monkeypatch.setenv(name, value)
    assert known() is None


def test_for_the_same_options_and_configuration_only(home: Path) -> None:
    put()
    assert known(session=Session(region="us-east-1")) is None
    assert known(session=Session(fips=True)) is None
    (home / "config").write_text("[default]\nregion = us-west-2\n")
    assert known() is None


def test_it_can_be_forgotten() -> None:
    put()
    put(REQUEST.replace(target="web-2"))
    TargetCache(Session(), THEN + 1).forget(REQUEST)
    assert known() is None
    assert known(REQUEST.replace(target="web-2")) == TARGET


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}', "\xff"])
def test_a_broken_file_is_an_empty_one(text: str) -> None:
    file = paths.cache_dir() / "targets.json"
    file.write_text(text, encoding="latin-1")
    assert known() is None
    put()
    assert known() == TARGET


def test_the_file_is_the_users_alone_and_holds_no_key() -> None:
    put()
    file = paths.cache_dir() / "targets.json"
    assert file.stat().st_mode & 0o077 == 0
    assert "AKIA" not in file.read_text()


def test_no_folder_is_no_error(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("EICCTL_HOME", str(home / "file"))
    put()
    assert known() is None
