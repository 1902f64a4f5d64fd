"""The console's tunnels: opened there and in the background, with bytes through them, and closed."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from eicctl.agent import tunnels as background
from eicctl.ui.tunnels import Tunnels
from tests.integration.console import Driver, in_console


async def banner(driver: Driver, address: str) -> bytes:
    """What the target says to a client of a local address, while the console goes on."""

    def read() -> bytes:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            return client.recv(8)

    return await driver.app.quietly(read)


def local_address(driver: Driver, name: str) -> str:
    """Where a tunnel listens."""
    return _cell(driver, name, 2)


def no_connection_open(driver: Driver, name: str) -> bool:
    """Whether the console knows that a tunnel's connections have ended: it asks before it closes others."""
    return _cell(driver, name, 5).startswith("0 of ")


def _cell(driver: Driver, name: str, place: int) -> str:
    pane = cast("Tunnels", driver.app.current)
    return next(row.cells[place] for row in pane.table.rows if row.key == name)


def test_a_tunnel_to_an_instance(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        await driver.press("down", "t")
        line = await driver.shows("this console")
        assert "web-1-22" in line
        await driver.until(lambda: local_address(driver, "web-1-22"))
        assert await banner(driver, local_address(driver, "web-1-22")) == b"SSH-2.0-"
        await driver.shows("0 of 1")
        await driver.press("c")
        await driver.shows("Copied: 127.0.0.1:")
        await driver.press("l")
        await driver.shows("Log of web-1-22")
        await driver.press("escape", "x")
        await driver.until(lambda: "web-1-22" not in driver.screen)

    in_console(act)


def test_leaving_with_a_tunnel_open_asks_first(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        await driver.press("t")
        await driver.shows("this console")
        await driver.press("q")
        await driver.shows("1 tunnel of this console will be closed. Quit?")
        await driver.press("n")
        await driver.shows("this console")
        await driver.press("q", "y")

    in_console(act)


@pytest.mark.parametrize("typed", ["localhost:x", "1:2:3:4:5"])
def test_a_forward_that_is_none(endpoint: dict[str, Any], typed: str) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        await driver.press("f")
        await driver.shows("Forward through app-1")
        await driver.type(typed)
        await driver.press("enter")
        await driver.shows("error: ")

    in_console(act)


@pytest.fixture
def background_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for a background process, which is ended."""
    folder = tempfile.mkdtemp(prefix="e-")  # a short path: those of sockets end at 107 bytes
    monkeypatch.setenv("EICCTL_HOME", folder)
    monkeypatch.setenv("EICCTL_AGENT", "on")
    yield
    background.end(force=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.usefixtures("background_home")
def test_a_named_tunnel_in_the_background(
    endpoint: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eicctl.toml").write_text('[tunnel.web]\ntarget = "web-1"\nremote_port = 22\nlocal_port = 0\n')

    async def act(driver: Driver) -> None:
        assert "closed" in await driver.shows("web ")
        await driver.press("enter")
        await driver.shows("background")
        await driver.until(lambda: local_address(driver, "web"))
        assert await banner(driver, local_address(driver, "web")) == b"SSH-2.0-"
        await driver.until(lambda: no_connection_open(driver, "web"))
        await driver.press("x")
        await driver.until(lambda: "background" not in driver.screen)

    in_console(act, first="tunnels")


def test_no_tunnels(endpoint: dict[str, Any]) -> None:
    in_console(lambda driver: driver.shows("No tunnels: press t on an instance"), first="tunnels", size=(80, 24))
