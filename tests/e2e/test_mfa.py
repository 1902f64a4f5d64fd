"""MFA on a terminal: the code is asked for once, without echo, even where stdin is a tunnel's data."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import PROGRAM, Env, clean_env, run_eicctl

SERIAL = "arn:aws:iam::123456789012:mfa/local"


@pytest.fixture
def profiles(local_aws: Env, tmp_path: Path) -> Env:
    """An environment with the local AWS's key in the profile `work`, and a role that needs MFA in `role`."""
    home = tmp_path / "home"
    home.mkdir()
    env = local_aws | {name: value for name, value in clean_env(home).items() if name != "EICCTL_HOME"}
    key, secret = env.pop("AWS_ACCESS_KEY_ID"), env.pop("AWS_SECRET_ACCESS_KEY")
    (home / "credentials").write_text(f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    (home / "config").write_text(
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/admin\nsource_profile = work\n"
        f"mfa_serial = {SERIAL}\n"
    )
    return env


@pytest.fixture
def code(local_aws: Env) -> Callable[[], str]:
    """A code that has not been used; another test may have used those that are good now."""

    def fresh() -> str:
        for _ in range(120):  # each takes some 0.3 s
            found = run_eicctl(local_aws, "local", "mfa-code")
            if found.returncode == 0:
                return found.stdout.decode().strip()
        raise AssertionError("no code")

    return fresh


def answered(env: Env, code: str, *words: str) -> str:
    session = pexpect.spawn(PROGRAM, list(words), env=env, encoding="utf-8", timeout=30, dimensions=(30, 200))
    session.expect(SERIAL + ": ")
    session.waitnoecho()
    session.sendline(code)
    session.expect(pexpect.EOF)
    session.close()
    told = str(session.before)
    assert session.exitstatus == 0, told
    assert code not in told
    return told


def banner(env: Env, profile: str) -> bytes:
    """The first bytes through a tunnel."""
    words = [PROGRAM, "proxy", "--profile", profile, "web-1"]
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout
        first = run.stdout.read(7)
        run.terminate()
    return first


def test_login_and_tunnel(profiles: Env, code: Callable[[], str]) -> None:
    assert "work-mfa" in answered(profiles, code(), "mfa", "login", "--profile", "work")
    assert banner(profiles, "work-mfa") == b"SSH-2.0"


def test_a_role_asks_once_and_is_kept(profiles: Env, code: Callable[[], str]) -> None:
    assert "web-1" in answered(profiles, code(), "instances", "--profile", "role")
    kept = list((Path(profiles["HOME"]) / ".aws/cli/cache").iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600]
    assert banner(profiles, "role") == b"SSH-2.0"


def test_a_role_asks_on_the_terminal_while_stdin_is_data(profiles: Env, code: Callable[[], str]) -> None:
    command = f"sleep 60 | {PROGRAM} proxy --profile role web-1"
    session = pexpect.spawn("sh", ["-c", command], env=profiles, encoding="utf-8", timeout=30)
    session.expect(SERIAL + ": ")
    session.waitnoecho()
    session.sendline(code())
    session.expect("SSH-2.0")
    session.close()
