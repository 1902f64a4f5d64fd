"""The console's audit: tunnels of the last day, the refused ones, by principal, and the details of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eicctl.aws import cloudtrail
from eicctl.emulator.server import Emulator
from tests.integration.console import Driver, in_console
from tests.trail_records import tunnel

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTILE = "\x1b[31mred[bold]\u202e\n"


@pytest.fixture
def history(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tunnels, one of which was refused, and one of last week."""
    emulator.state.behave(lookup_rate=0.0)
    monkeypatch.setattr(cloudtrail, "INTERVAL", 0.0)
    monkeypatch.setattr(cloudtrail, "_paces", {})
    for record in (
        tunnel(NOW - timedelta(hours=1), who="alice", address="10.0.1.10"),
        tunnel(NOW - timedelta(hours=2), who="bob", address="10.0.2.10", error="AccessDenied"),
        tunnel(NOW - timedelta(hours=3), who=HOSTILE, address="10.0.2.10"),
        tunnel(NOW - timedelta(days=3), who="carol", address="10.0.2.10"),
    ):
        emulator.state.record(record)


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("size", [(80, 24), (120, 30)])
def test_events_of_the_last_day(size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("alice")
        assert "Last day: " in driver.screen
        assert "carol" not in driver.screen
        assert "\x1b" not in driver.screen
        assert "[bold]" in driver.screen
        await driver.press("d")
        await driver.until(lambda: "alice" not in driver.screen)
        assert "bob" in driver.screen
        await driver.press("enter")
        await driver.shows("ErrorCode")
        await driver.press("escape", "d", "p")
        await driver.shows("carol")
        assert "Last week: " in driver.screen

    in_console(act, first="audit", size=size)


@pytest.mark.usefixtures("history")
def test_by_principal_and_by_target() -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("alice")
        await driver.press("v")
        await driver.shows("Refused")
        await driver.press("slash")
        await driver.type("bob")
        await driver.press("enter", "enter")
        line = await driver.shows("OpenTunnel")
        assert "bob" in line
        assert "alice" not in driver.screen
        await driver.press("escape", "v", "v")
        await driver.shows("10.0.1.10")

    in_console(act, first="audit")
