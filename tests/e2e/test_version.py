"""`eicctl version`: what a bug report needs, and nothing that is secret."""

from __future__ import annotations

import json
import os
import platform
import uuid
from importlib import metadata
from pathlib import Path

import pytest

import eicctl
from tests.e2e.conftest import Env, clean_env, run_eicctl

SECRET = f"sentinel{uuid.uuid4().hex}"


@pytest.fixture
def secretive(tmp_path: Path) -> Env:
    """An environment with a secret in everything that could hold one."""
    home = tmp_path / "home"
    (home / "eicctl" / "config").mkdir(parents=True)
    (home / "eicctl" / "config" / "config.toml").write_text(f'os_user = "{SECRET}"\n')
    (home / "credentials").write_text(f"[{SECRET}]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n")
    (home / "config").write_text(f"[profile {SECRET}]\nmfa_serial = {SECRET}\n")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "EICCTL_AGENT_IDLE")
    others = ("PGPASSWORD", "DATABASE_URL", "GITHUB_TOKEN")
    return clean_env(home) | {
        **dict.fromkeys((*names, *others), SECRET),
        "HTTPS_PROXY": f"http://user:{SECRET}@127.0.0.1:9",
        "no_proxy": SECRET,
        "HOME": str(home),
    }


@pytest.mark.parametrize("form", ["json", "table", "text"])
def test_secrets_are_not_shown(secretive: Env, form: str) -> None:
    run = run_eicctl(secretive, "version", "--output", form)
    assert run.returncode == 0, run.stderr
    assert SECRET.encode() not in run.stdout + run.stderr
    assert b"AWS_SECRET_ACCESS_KEY" in run.stdout
    assert b"GITHUB_TOKEN" not in run.stdout


def test_what_it_shows(secretive: Env) -> None:
    told = json.loads(run_eicctl(secretive, "version", "--output", "json").stdout)
    assert told["Eicctl"] == eicctl.__version__
    assert told["Python"].startswith(platform.python_version())
    assert told["OpenSSH"].startswith("OpenSSH")
    assert told["Packages"]["botocore"] == metadata.version("botocore")
    assert told["WebsocketsSpeedups"] is True
    assert told["Background"] == []
    assert {"AWS_PROFILE", "EICCTL_HOME", "HTTPS_PROXY", "no_proxy"} <= set(told["Variables"])
    assert told["Folders"]["State"] == f"{secretive['EICCTL_HOME']}/state"
    assert "editable" in told["InstallMethod"]


def test_a_query(secretive: Env) -> None:
    run = run_eicctl(secretive, "version", "--query", "Packages.click", "--output", "text")
    assert run.stdout.decode().strip() == metadata.version("click")


def test_a_folder_that_others_can_write_is_named_and_breaks_nothing(secretive: Env) -> None:
    state = Path(secretive["EICCTL_HOME"]) / "state"
    state.mkdir()
    state.chmod(0o777)
    told = json.loads(run_eicctl(secretive, "version", "--output", "json").stdout)
    assert "not private to this user" in told["Folders"]["State"]


def test_without_a_runtime_folder_nothing_is_said_of_it(secretive: Env) -> None:
    env = {name: value for name, value in secretive.items() if name not in ("XDG_RUNTIME_DIR", "EICCTL_HOME")}
    run = run_eicctl(env, "version")
    assert (run.returncode, run.stderr) == (0, b"")


def test_the_version_option(secretive: Env) -> None:
    run = run_eicctl(secretive, "--version")
    assert (run.returncode, run.stdout.decode()) == (0, f"eicctl, version {eicctl.__version__}{os.linesep}")
