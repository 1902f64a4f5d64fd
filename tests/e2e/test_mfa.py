"""MFA on a terminal: the code is asked for once, without echo, even where stdin is a tunnel's data."""

from __future__ import annotations

import json
import stat
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pyotp
import pytest

from tests.e2e.conftest import Env, boto3_client, clean_env
from tests.processes import PROGRAM
from tests.terminal import screen, terminal


@dataclass(frozen=True)
class Device:
    """A device of the test's own, so that no other test has used its codes."""

    serial: str
    totp: pyotp.TOTP


@pytest.fixture
def device(local_aws: Env) -> Device:
    iam = boto3_client(local_aws, "iam")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName=f"test-{uuid.uuid4().hex}")["VirtualMFADevice"]
    serial = made["SerialNumber"]
    iam.enable_mfa_device(
        UserName="local", SerialNumber=serial, AuthenticationCode1="000000", AuthenticationCode2="111111"
    )
    return Device(serial, pyotp.TOTP(made["Base32StringSeed"].decode()))


@pytest.fixture
def profiles(local_aws: Env, device: Device, tmp_path: Path) -> Env:
    """An environment with the local AWS's key in the profile `work`, and a role that needs MFA in `role`."""
    home = tmp_path / "home"
    home.mkdir()
    env = local_aws | {name: value for name, value in clean_env(home).items() if name != "EICCTL_HOME"}
    key, secret = env.pop("AWS_ACCESS_KEY_ID"), env.pop("AWS_SECRET_ACCESS_KEY")
    (home / "credentials").write_text(f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    (home / "config").write_text(
        f"[profile work]\nmfa_serial = {device.serial}\n"
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/admin\nsource_profile = work\n"
        f"mfa_serial = {device.serial}\n"
    )
    return env


def answered(env: Env, device: Device, *words: str) -> str:
    session = terminal(env, *words, size=(30, 200))
    session.expect_exact(f"{device.serial}: ")
    session.waitnoecho()
    code = device.totp.now()
    session.sendline(code)
    session.expect(pexpect.EOF)
    session.close()
    written = str(session.before)
    assert session.exitstatus == 0, written
    assert code not in written
    return "\n".join(screen(written))


def banner(env: Env, profile: str) -> bytes:
    """The first bytes through a tunnel."""
    words = [PROGRAM, "proxy", "--profile", profile, "web-1"]
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout
        first = run.stdout.read(7)
        run.terminate()
    return first


def test_login_and_tunnel(profiles: Env, device: Device) -> None:
    assert "work-mfa" in answered(profiles, device, "mfa", "login", "--profile", "work")
    assert banner(profiles, "work-mfa") == b"SSH-2.0"


def test_a_role_asks_once_and_is_kept(profiles: Env, device: Device) -> None:
    assert "web-1" in answered(profiles, device, "instances", "--profile", "role")
    kept = list((Path(profiles["HOME"]) / ".aws/cli/cache").iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600]
    assert banner(profiles, "role") == b"SSH-2.0"


def test_a_role_asks_on_the_terminal_while_stdin_is_data(profiles: Env, device: Device) -> None:
    command = f"sleep 60 | {PROGRAM} proxy --profile role web-1"
    session = terminal(profiles, "-c", command, program="sh")
    session.expect_exact(f"{device.serial}: ")
    session.waitnoecho()
    session.sendline(device.totp.now())
    session.expect("SSH-2.0")
    session.close()


def test_one_code_for_several_roles(profiles: Env, device: Device, local_aws: Env) -> None:
    """Roles of one device: a code can be used once, so it opens a session that assumes all of them."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "123456789012"},
        "Action": "sts:AssumeRole",
        "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
    }
    names = [f"team-{uuid.uuid4().hex}" for _ in range(3)]
    with Path(profiles["AWS_CONFIG_FILE"]).open("a") as file:
        for number, name in enumerate(names):
            trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            boto3_client(local_aws, "iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)
            file.write(f"[profile team-{number}]\nrole_arn = arn:aws:iam::123456789012:role/{name}\n")
            file.write(f"source_profile = work\nmfa_serial = {device.serial}\n")
    told = answered(profiles, device, "instances", "--profile", "team-*", "--output", "text", "--query", "[].Profile")
    assert told.split()[0] == "team-0"  # one account, so the first one's
    assert device.serial not in told
    # They are kept where a command for one of them looks.
    words = [PROGRAM, "list-endpoints", "--profile", "team-2", "--output", "json"]
    assert subprocess.run(words, env=profiles, check=True, stdin=subprocess.DEVNULL, timeout=60).returncode == 0


def test_one_code_for_several_accounts(profiles: Env, device: Device) -> None:
    """The profile that assumes a role in each account has itself a role that needs MFA."""
    words = ("instances", "--profile", "role", "--accounts", "111122223333,222233334444", "--role", "reader")
    told = answered(profiles, device, *words, "--output", "json")
    assert told.strip().endswith("[]")
    assert device.serial not in told
