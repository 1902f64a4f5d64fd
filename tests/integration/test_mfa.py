"""`eicctl mfa` against the emulator: the device, the code, the files, and what the session is good for."""

from __future__ import annotations

import io
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pyotp
import pytest
from botocore.exceptions import ClientError

from eicctl.aws import mfa as aws_mfa
from eicctl.aws.profile_files import store
from eicctl.aws.session import Session
from eicctl.core.errors import UsageError
from eicctl.core.model import Credentials
from eicctl.emulator.control.credentials import own_code
from eicctl.emulator.server import Emulator
from eicctl.tunnel.dial import Dialer
from tests.integration.conftest import Ran, Service

Eicctl = Callable[..., Ran]
OTHERS = "# mine\r\n[default]\r\nregion=us-east-1\r\n\r\n; other\r\n[other]\r\naws_access_key_id = AKIAOTHER\r\n"


def code_of(emulator: Emulator) -> str:
    return own_code(emulator.state.now())["Code"]


@pytest.fixture
def base(emulator: Emulator, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The emulator's key in a profile `work` of a credentials file that has more in it."""
    env = emulator.env
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    path = home / "credentials"
    keys = f"[work]\r\naws_access_key_id = {env['AWS_ACCESS_KEY_ID']}\r\n"
    keys += f"aws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}\r\n"
    path.write_bytes((OTHERS + keys).encode())
    (home / "config").write_text("[profile work]\nregion = us-west-2\n")
    return path


def login(emulator: Emulator, eicctl: Eicctl, *more: str) -> Ran:
    return eicctl("mfa", "login", "--profile", "work", "--token-code", code_of(emulator), *more)


def test_login_status_logout(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    before, config = base.read_bytes(), base.with_name("config").read_bytes()
    ran = login(emulator, eicctl, "--duration", "900")
    assert ran.code == 0, ran.err
    assert "work-mfa" in ran.err
    text = base.read_bytes()
    assert text.startswith(before)
    for path in (base, base.with_name("config"), base.with_name("credentials.eicctl-backup")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert base.with_name("credentials.eicctl-backup").read_bytes() == before
    status = eicctl("mfa", "status", "--query", "[].[Profile, BaseProfile, SecondsLeft > `800`]", "--output", "text")
    assert status.out == "work-mfa\twork\tyes\n"
    keys = boto3.Session(profile_name="work-mfa").get_credentials()
    assert keys is not None
    assert keys.secret_key
    assert keys.token
    assert not any(secret in ran.out + ran.err + status.out for secret in (keys.secret_key, keys.token))
    assert boto3.Session(profile_name="work-mfa").region_name == "us-west-2"
    assert eicctl("mfa", "logout").code == 0
    assert base.read_bytes() == before
    assert base.with_name("config").read_bytes() == config


def test_the_session_opens_tunnels(
    serve: Callable[..., Service], base: Path, emulator: Emulator, eicctl: Eicctl
) -> None:
    service = serve(lambda client: client.sendall(b"SSH-2.0-hello\r\n"))
    assert login(emulator, eicctl).code == 0
    session = Session(profile="work-mfa")
    Dialer(service.target, session.credentials, session.ca_bundle).open().stream.close()
    assert session.credentials().session_token


def test_a_second_login_replaces_the_session(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    assert login(emulator, eicctl).code == 0
    first = base.read_text()
    assert login(emulator, eicctl).code == 0
    second = base.read_text()
    assert first != second
    assert second.count("[work-mfa]") == 1


def test_a_used_code(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    code = code_of(emulator)
    words = ("mfa", "login", "--profile", "work", "--token-code", code)
    assert eicctl(*words).code == 0
    text = base.read_bytes()
    again = eicctl(*words)
    assert again.code == 4
    assert "already used" in again.err
    assert code not in again.err
    assert base.read_bytes() == text


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "", "\uff11" * 6])
def test_a_malformed_code_is_not_sent(base: Path, eicctl: Eicctl, code: str) -> None:
    ran = eicctl("mfa", "login", "--profile", "work", "--token-code", code)
    assert ran.code == 2
    assert "MFA code must be 6 digits" in ran.err
    assert code not in ran.err or not code


@pytest.mark.parametrize("given", ["--token-code", "stdin"])
def test_nothing_is_spent_on_a_malformed_code(
    base: Path, emulator: Emulator, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """The code of the moment is still good."""
    monkeypatch.setattr("sys.stdin", io.StringIO("12\n"))
    ran = eicctl("mfa", "login", "--profile", "work", "--token-code", "-" if given == "stdin" else "12")
    assert ran.code == 2
    assert login(emulator, eicctl).code == 0


@pytest.mark.parametrize("serial", ["", "short", "arn:aws:iam::123456789012:mfa/two words", "x" * 257, "\uff11" * 12])
def test_a_malformed_device_is_not_sent(base: Path, emulator: Emulator, eicctl: Eicctl, serial: str) -> None:
    ran = login(emulator, eicctl, "--serial", serial)
    assert ran.code == 2
    assert "Invalid MFA device" in ran.err


def test_a_malformed_device_in_the_profile(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    config = base.with_name("config")
    config.write_text(config.read_text().replace("[profile work]\n", "[profile work]\nmfa_serial = ann's phone\n"))
    ran = login(emulator, eicctl)
    assert ran.code == 2
    assert "Invalid MFA device" in ran.err


def test_the_code_from_stdin(base: Path, emulator: Emulator, eicctl: Eicctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(code_of(emulator) + "\n"))
    assert eicctl("mfa", "login", "--profile", "work", "--token-code", "-").code == 0


@pytest.mark.parametrize("seconds", ["899", "129601", "0", "-1"])
def test_durations_that_aws_refuses(base: Path, eicctl: Eicctl, seconds: str) -> None:
    ran = eicctl("mfa", "login", "--profile", "work", "--duration", seconds, "--token-code", "123456")
    assert ran.code == 2
    assert "900 to 129600" in ran.err


def test_durations_of_the_root_user() -> None:
    aws_mfa.check_duration(3600, aws_mfa.ROOT_DURATIONS, " for the root user")
    with pytest.raises(UsageError, match="900 to 3600 seconds for the root user"):
        aws_mfa.check_duration(3601, aws_mfa.ROOT_DURATIONS, " for the root user")


def test_profiles_that_cannot_hold_it(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    text = base.read_bytes()
    assert login(emulator, eicctl, "--into", "work").code == 2
    assert login(emulator, eicctl, "--into", "other").code == 6
    assert login(emulator, eicctl, "--into", "a]\n[b").code == 2
    assert base.read_bytes() == text


def test_temporary_keys_open_no_session(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    assert login(emulator, eicctl).code == 0
    ran = eicctl("mfa", "login", "--profile", "work-mfa", "--token-code", "123456")
    assert ran.code == 4
    assert "temporary" in ran.err


def test_a_profile_that_assumes_a_role(base: Path, eicctl: Eicctl) -> None:
    with base.with_name("config").open("a") as file:
        file.write("[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = work\n")
    ran = eicctl("mfa", "login", "--profile", "role", "--token-code", "123456")
    assert ran.code == 2
    assert "--profile work" in ran.err


def test_which_device(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    iam = Session(profile="work").client("iam")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="second")["VirtualMFADevice"]
    serial = made["SerialNumber"]
    iam.enable_mfa_device(
        UserName="local", SerialNumber=serial, AuthenticationCode1="0" * 6, AuthenticationCode2="1" * 6
    )
    several = login(emulator, eicctl)
    assert several.code == 3
    assert serial in several.err
    totp = pyotp.TOTP(made["Base32StringSeed"].decode())
    now = datetime.now(UTC)
    words = ("mfa", "login", "--profile", "work", "--serial", serial, "--token-code")
    assert eicctl(*words, totp.at(now - timedelta(minutes=2))).code == 4
    assert eicctl(*words, totp.at(now)).code == 0
    with base.with_name("config").open("a") as file:
        file.write("[profile third]\nmfa_serial = arn:aws:iam::123456789012:mfa/nobody\nregion = us-east-1\n")
    base.write_text(base.read_text().replace("[work]", "[third]"))
    other = eicctl("mfa", "login", "--profile", "third", "--token-code", "123456")
    assert other.code == 4
    assert "does not belong to the caller" in other.err


def test_logins_at_the_same_time(base: Path) -> None:
    before = base.read_bytes()
    failures: list[BaseException] = []

    def run(name: str) -> None:
        try:
            store(name, "work", Credentials("ASIA" + name, "s", "t", datetime.now(UTC)), {"region": "us-east-1"})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(f"p{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    text = base.read_bytes()
    assert text.startswith(before)
    assert all(f"[p{number}]".encode() in text for number in range(8))


def test_a_symlink_stays(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    real = base.with_name("real")
    base.rename(real)
    base.symlink_to(real)
    assert login(emulator, eicctl).code == 0
    assert base.is_symlink()
    assert "[work-mfa]" in real.read_text()


def test_logout_names(base: Path, emulator: Emulator, eicctl: Eicctl) -> None:
    assert eicctl("mfa", "logout", "work").code == 3
    assert login(emulator, eicctl).code == 0
    assert login(emulator, eicctl, "--into", "second").code == 0
    assert eicctl("mfa", "logout").code == 2
    assert eicctl("mfa", "logout", "--all").code == 0
    assert eicctl("mfa", "status", "--output", "json").out == "[]\n"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"SerialNumber": "arn:aws:iam::123456789012:mfa/local"}, "must provide both"),
        (
            {"SerialNumber": "arn:aws:iam::123456789012:mfa/local", "TokenCode": "000000"},
            "invalid MFA one time pass code",
        ),
        ({"SerialNumber": "arn:aws:iam::123456789012:mfa/else", "TokenCode": "000000"}, "unable to validate"),
    ],
)
def test_what_sts_says(emulator: Emulator, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message) as refused:
        boto3.client("sts").get_session_token(**parameters)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
