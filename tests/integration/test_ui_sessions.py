"""The console's sessions: opened with a code, shown with the time that is left, and removed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eicctl.aws.sso import token_file
from eicctl.emulator.server import Emulator
from tests.integration.console import Driver, in_console
from tests.integration.test_mfa import base as base  # noqa: PLC0414 - the fixture
from tests.integration.test_mfa import code_of


@pytest.mark.parametrize("size", [(80, 24), (120, 30)])
def test_an_mfa_session(base: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")

    async def act(driver: Driver) -> None:
        await driver.shows("No sessions: press n")
        await driver.press("n")
        await driver.shows("Profile with long-lived keys:")
        assert "work" in driver.screen
        await driver.press("enter")
        await driver.shows("MFA code for ")
        code = code_of(emulator)
        await driver.type(code)
        assert code not in driver.screen
        await driver.press("enter")
        line = await driver.shows("work-mfa ")
        assert "11 h" in line or "12 h" in line
        await driver.press("x")
        await driver.shows("Remove the MFA session")
        await driver.press("y")
        await driver.shows("No sessions: press n")

    in_console(act, first="sessions", size=size)


def test_a_wrong_code(base: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")

    async def act(driver: Driver) -> None:
        await driver.press("n")
        await driver.shows("Profile with long-lived keys:")
        await driver.press("enter")
        await driver.shows("MFA code for ")
        await driver.type("12345")
        await driver.press("enter")
        await driver.shows("error: MFA code must be 6 digits")

    in_console(act, first="sessions")


@pytest.mark.parametrize(("hours", "shown"), [(2, "1 h 59 min"), (-1, "expired"), (None, "expired")])
def test_a_login_to_iam_identity_center(base: Path, hours: int | None, shown: str) -> None:
    config = base.with_name("config")
    config.write_text(
        f"{config.read_text()}\n[profile sso]\nsso_session = corp\n[sso-session corp]\nsso_region = eu-west-1\n"
    )
    if hours is not None:
        file = token_file("corp")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"expiresAt": f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"}))

    async def act(driver: Driver) -> None:
        line = await driver.shows("corp")
        assert "SSO" in line
        assert shown in line

    in_console(act, first="sessions")
