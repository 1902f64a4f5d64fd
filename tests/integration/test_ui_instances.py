"""The console's instances: what is shown of them, the filter, and what their keys do."""

from __future__ import annotations

from typing import Any

import pytest

from eicctl.aws import caches
from eicctl.aws.session import Session
from eicctl.emulator.server import Emulator
from eicctl.support import recents
from tests.integration.console import Driver, in_console


@pytest.mark.parametrize("size", [(80, 24), (120, 30), (200, 60)])
def test_instances_with_their_reachability(endpoint: dict[str, Any], size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        web = await driver.shows("yes")
        assert "i-" in web
        assert "running" in web
        screen = driver.screen
        assert screen.index("app-1") < screen.index("web-1") < screen.index("win-1")
        assert all(len(line) <= size[0] for line in screen.splitlines())

    in_console(act, size=size)


def test_a_vpc_without_an_endpoint(ec2: Any) -> None:
    async def act(driver: Driver) -> None:
        assert "web-1" in await driver.shows("no endpoint") or "app-1" in driver.screen

    in_console(act)


def test_what_is_known_is_shown_at_once(emulator: Emulator, ec2: Any) -> None:
    emulator.state.behave(latency=0.5)
    rows = {"i-0": ("known-1", "running", "linux", "10.0.1.7", "us-east-1a", "vpc-1")}
    caches.note_names(Session(), caches.INSTANCES, rows, region="us-east-1")

    async def act(driver: Driver) -> None:
        await driver.shows("known-1")
        assert "web-1" not in driver.screen  # AWS has not answered yet
        assert "Reading instances" in driver.screen
        await driver.shows("web-1")
        await driver.until(lambda: "known-1" not in driver.screen)

    in_console(act)


def test_recent_targets_come_first(endpoint: dict[str, Any], instance_ids: dict[str, str]) -> None:
    for name in ("web-1", "win-1"):
        used = recents.Connection(
            "ssh", name, instance_id=instance_ids[name], profile=None, region="us-east-1", user="ec2-user"
        )
        used.end()

    async def act(driver: Driver) -> None:
        assert "•" in await driver.shows("web-1")
        screen = driver.screen
        assert screen.index("win-1") < screen.index("web-1") < screen.index("app-1")
        assert "•" not in await driver.shows("app-1")

    in_console(act)


def test_the_filter(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        await driver.press("slash")
        await driver.type("win")
        assert "web-1" not in driver.screen
        assert "win-1" in driver.screen
        await driver.press("enter", "escape")
        assert "web-1" in driver.screen
        await driver.press("end", "slash")  # the cursor is below all rows that are left
        await driver.type("web")
        assert "> " in await driver.shows("web-1")

    in_console(act)
