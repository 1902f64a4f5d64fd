"""What config.toml and a project's eicctl.toml may say, and how errors in them are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from eicctl.core.errors import LocalError, UsageError
from eicctl.support import defaults, paths, settings


@pytest.fixture
def config(home: Path) -> Path:
    path = paths.config_file()
    path.parent.mkdir(parents=True)
    return path


def test_without_a_file_nothing_is_set(config: Path) -> None:
    assert not defaults.of_user()
    assert not defaults.user_for("web-1")


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EICCTL_HOME", str(tmp_path / "file"))
    with pytest.raises(LocalError, match="Cannot create the folder "):
        settings.store((), "region", "us-east-1")


def test_users_by_pattern(config: Path) -> None:
    config.write_text('os_user = "ann"\n[host."web-*"]\nos_user = "deploy"\n[host.i-2]\nos_user = "root"\n')
    assert defaults.user_for("web-1", "i-1") == "deploy"
    assert defaults.user_for("", "i-2") == "root"
    assert defaults.user_for("app", "i-3") == "ann"


def test_a_changed_file_is_read_again(config: Path) -> None:
    for user in ("ann", "bob", "bob"):
        config.write_text(f'os_user = "{user}"\n')
        assert defaults.user_for("web-1") == user
    config.unlink()
    assert not defaults.user_for("web-1")


WRONG: dict[str, tuple[str, str, str]] = {
    "a number for a user": ("os_user = 3", ":1: os_user must be the name of an OS user, not 3", ""),
    "a near key": ('\nregoin = "x"', ":2: regoin is not a known key", "did you mean region?"),
    "a key by its last word": ("[host.a]\nuser = 'x'", ":2: host.a.user is not a known key", "did you mean os_user?"),
    "a table": ("[hosts.a]\nos_user = 'x'", "hosts is not a known key", "host"),
    "an alias of nothing": ("[alias]\ndb1 = 3", ":2: alias.db1 must be the name of a target", ""),
    "an alias that is an option": ("[alias]\ndb1 = '-x'", ":2: alias.db1 must be the name of a target", ""),
    "a check": ("host_key_check = 'never'", "host_key_check must be one of console, accept-new, strict, off", ""),
    "an endpoint's name": ("endpoint = 'office'", "endpoint must be the ID of an endpoint", ""),
    "a forward": ("[host.a]\nforward = ['8080']", ":2: host.a.forward must be PORT:HOST:PORT", ""),
    "a relative log": ("log_file = 'x.log'", "log_file must be an absolute path", ""),
    "no TOML": ("a b", "config.toml", "TOML"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named(config: Path, case: str) -> None:
    text, message, hint = WRONG[case]
    config.write_text(text)
    with pytest.raises(UsageError) as raised:
        defaults.of_user()
    assert message in raised.value.message
    assert hint in (raised.value.hint or "")


def project(folder: Path, text: str) -> defaults.Layer:
    path = folder / "eicctl.toml"
    path.write_text(text)
    return settings.read(str(path), project=True)


@pytest.mark.parametrize("key", [key for key, known in settings.KEYS.items() if not known.project])
def test_a_project_weakens_no_check_and_opens_no_port(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=f":1: {key} cannot be set by a project") as raised:
        project(tmp_path, f"{key} = 1\n")
    assert "config.toml" in (raised.value.hint or "")


def test_a_projects_key_file_is_in_its_folder(tmp_path: Path) -> None:
    found = project(tmp_path, '[host.a]\nprivate_key_file = "keys/id"\n')
    assert found["host"]["a"]["private_key_file"] == str(tmp_path / "keys/id")
    (tmp_path / "out").symlink_to("/etc")
    for outside in ("~/.ssh/id_ed25519", "/etc/ssh/key", "../id", "out/key"):
        with pytest.raises(UsageError, match="must be in the project's folder"):
            project(tmp_path, f'[host.a]\nprivate_key_file = "{outside}"\n')


def test_a_projects_forwards_listen_on_loopback(tmp_path: Path) -> None:
    found = project(tmp_path, '[host.a]\nforward = "127.0.0.1:8080:localhost:80"\n')
    assert found["host"]["a"]["forward"] == ["127.0.0.1:8080:localhost:80"]
    for bind in ("0.0.0.0", "*", "[::]", ""):
        with pytest.raises(UsageError, match="must listen on loopback"):
            project(tmp_path, f'[host.a]\nforward = "{bind}:8080:localhost:80"\n')
