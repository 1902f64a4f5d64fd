"""Which defaults are in force: options, the environment, the project's file, the user's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from eicctl.api.targets import requested
from eicctl.aws.session import Session
from eicctl.core.errors import UsageError
from eicctl.core.request import ConnectRequest
from eicctl.support import defaults, paths

Write = Callable[..., None]

SHOP = "eice-0123456789abcdef0"


@pytest.fixture
def write(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the user's file, and a project's in the current folder."""
    folder = tmp_path / "project" / "inner"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)

    def put(user: str = "", project: str = "") -> None:
        paths.config_file().parent.mkdir(parents=True, exist_ok=True)
        paths.config_file().write_text(user)
        if project:
            (folder.parent / "eicctl.toml").write_text(project)

    return put


def test_nothing_is_in_force_without_files(write: Write) -> None:
    assert defaults.in_force(None, None, "web-1") == {}
    assert defaults.in_force("a", "b", "web-1") == {"profile": "a", "region": "b"}


def test_the_order(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('region = "user-1"\nprofile = "mine"\n')
    assert defaults.in_force(None, None) == {"region": "user-1", "profile": "mine"}
    write('region = "user-1"\nprofile = "mine"\n', 'profile = "shop"\nregion = "project-1"\n')
    assert defaults.in_force(None, None) == {"region": "project-1", "profile": "shop"}
    monkeypatch.setenv("AWS_REGION", "environment-1")
    assert defaults.in_force(None, None) == {"region": None, "profile": "shop"}
    assert defaults.in_force(None, "option-1") == {"region": "option-1", "profile": "shop"}


def test_a_files_region_goes_with_its_profile(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f'profile = "mine"\nregion = "user-1"\nendpoint = "{SHOP}"\n')
    assert defaults.in_force("other", None) == {"profile": "other"}
    assert defaults.in_force("mine", None) == {"profile": "mine", "region": "user-1", "endpoint": SHOP}
    assert defaults.in_force(None, "other-1") == {"profile": "mine", "region": "other-1"}
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert defaults.in_force(None, None) == {"profile": None}
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    assert defaults.in_force(None, None) == {"profile": None}


def test_the_first_matching_section_has_each_key(write: Write) -> None:
    write(
        'region = "user-1"\n'
        '[host."prod-*"]\nprofile = "prod"\nkeep = true\n'
        '[host."*-db"]\nprofile = "data"\nos_user = "dba"\n',
    )
    assert defaults.in_force(None, None, "prod-db") == {
        "profile": "prod",
        "region": "user-1",
        "keep": True,
        "os_user": "dba",
    }
    assert defaults.in_force(None, None, "web-1") == {"region": "user-1"}


def test_a_request_is_filled(write: Write) -> None:
    write(f'endpoint = "{SHOP}"\n[alias]\nw = "web-1"\n[host."web-*"]\nprofile = "web"\nregion = "web-1"\n')
    found = defaults.filled(ConnectRequest(target="w"))
    assert found == ConnectRequest(target="web-1", profile="web", region="web-1", endpoint_id=SHOP)
    assert not defaults.filled(ConnectRequest(endpoint_dns_name="x")).endpoint_id
    assert not defaults.filled(ConnectRequest(target="a.eic")).endpoint_id
    assert defaults.filled(ConnectRequest(endpoint_id="eice-1")).endpoint_id == "eice-1"


def test_the_home_folder_and_a_repository_end_the_search(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project='profile = "shop"\n')
    file = tmp_path / "project" / "eicctl.toml"
    assert defaults.project_file() == str(file)
    monkeypatch.setenv("HOME", str(tmp_path / "project" / "inner"))
    assert defaults.project_file() == ""
    monkeypatch.setenv("HOME", str(tmp_path / "project"))
    assert defaults.project_file() == str(file)
    (tmp_path / "project" / "inner" / ".git").mkdir()
    assert defaults.project_file() == ""


def test_a_file_that_others_may_write_sets_nothing(write: Write, tmp_path: Path) -> None:
    write(project='profile = "shop"\n')
    assert defaults.in_force(None, None) == {"profile": "shop"}
    file = tmp_path / "project" / "eicctl.toml"
    file.chmod(0o666)
    assert defaults.in_force(None, None) == {}
    if os.getuid() == 0:
        file.chmod(0o644)
        os.chown(file, 4711, 4711)
        assert defaults.in_force(None, None) == {}


def test_an_error_is_not_cached(write: Write) -> None:
    write("regoin = 1\n")
    for _ in range(2):
        with pytest.raises(UsageError, match="regoin"):
            defaults.in_force(None, None)


def test_a_program_gets_the_users_defaults_only(write: Write) -> None:
    write('profile = "mine"\nregion = "user-1"\n[alias]\nw = "web-1"\n', 'region = "project-1"\n[alias]\nw = "evil"\n')
    session, request = requested("w", {})
    assert (session.profile, session.region, request.target) == ("mine", "user-1", "web-1")
    session, request = requested("w", {"session": Session(region="own-1")})
    assert (session.region, request.target) == ("own-1", "w")
