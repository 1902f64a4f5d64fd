"""The console's frame: the bar of panes, the line of keys, the themes, the mouse, at three sizes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from eicctl.ui import PANES
from tests.integration.console import Driver, in_console

SIZES = [(80, 24), (120, 30), (200, 60)]


@pytest.mark.parametrize("size", SIZES)
def test_every_pane_fits(endpoint: dict[str, Any], size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        for at, title in enumerate(PANES.values(), 1):
            await driver.press(str(at))
            lines = driver.screen.splitlines()
            assert len(lines) == size[1]
            assert all(f"{number} {name}" in lines[0] for number, name in enumerate(PANES.values(), 1))
            assert re.search(r"\? Keys  : Command  q Quit$", lines[-1]), f"{title}: {lines[-1]}"
            for other in SIZES:
                await driver.pilot.resize_terminal(*other)
                await driver.until(lambda other=other: len(driver.screen.splitlines()) == other[1])  # type: ignore[misc]
                assert driver.screen.splitlines()[-1].endswith("q Quit")
            await driver.pilot.resize_terminal(60, 24)
            numbers = [f"{at} {name}" if name == title else str(at) for at, name in enumerate(PANES.values(), 1)]
            await driver.until(lambda tabs=numbers: driver.screen.splitlines()[0].split("  ") == tabs)  # type: ignore[misc]
            await driver.pilot.resize_terminal(*size)

    in_console(act, size=size)


def test_the_mouse_and_the_theme(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        at = driver.screen.splitlines()[0].index("Doctor")
        await driver.pilot.click("#tabs", offset=(at, 0))
        await driver.shows("Check")
        assert driver.app.current_theme.dark
        await driver.press("ctrl+t")
        assert not driver.app.current_theme.dark
        await driver.press("1", "ctrl+t")
        assert driver.app.current_theme.dark

    in_console(act)
