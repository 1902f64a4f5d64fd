"""The console's command line, and how errors are shown."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eicctl.cli import explained
from eicctl.core.errors import EicctlError, NotFoundError, UsageError
from eicctl.emulator.server import Emulator
from eicctl.ui import app
from eicctl.ui.commands import CommandLine
from eicctl.ui.pane import ErrorBar
from tests.integration.console import Driver, in_console

SIZES = [(80, 24), (120, 30)]


def line(driver: Driver) -> CommandLine:
    """The command line."""
    return driver.app.query_one(CommandLine)


@pytest.mark.parametrize("key", ["tab", "right"])
def test_completion(endpoint: dict[str, Any], key: str) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("colon")
        await driver.type("list-e")
        await driver.shows("list-endpoints")
        await driver.press(key)
        assert line(driver).value == "list-endpoints"
        await driver.type(" --ou")
        await driver.shows("--output")
        await driver.press(key)
        assert line(driver).value == "list-endpoints --output"
        await driver.press("escape")
        assert not line(driver).has_class("shown")

    in_console(act)


def test_names_are_completed_from_the_cache(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        await driver.until(lambda: "Reading" not in driver.screen)
        await driver.press("colon")
        await driver.type("doctor we")
        await driver.until(lambda: line(driver)._suggestion == "doctor web-1")

    in_console(act)


def test_an_unknown_command_and_the_history(endpoint: dict[str, Any]) -> None:
    async def act(driver: Driver) -> None:
        await driver.press("colon")
        await driver.type("instnaces")
        await driver.press("enter")
        await driver.shows("error: No such command 'instnaces'. Did you mean 'instances'?")
        await driver.press("colon")
        await driver.type("ssh 'a")
        await driver.press("enter")
        await driver.shows("error: Cannot read the command: No closing quotation")
        await driver.press("escape")
        assert "error:" not in driver.screen
        await driver.press("colon")
        await driver.type("ps")
        for key, value in (("up", "ssh 'a"), ("up", "instnaces"), ("up", "instnaces"), ("down", "ssh 'a")):
            await driver.press(key)
            assert line(driver).value == value
        await driver.press("down", "down")
        assert line(driver).value == "ps"

    in_console(act)


@pytest.mark.parametrize(
    ("hint", "typed"),
    [
        ("eicctl create-endpoint --wait --region eu-west-1", "create-endpoint --wait --region eu-west-1"),
        ("Run: aws sso login --profile dev", "!aws sso login --profile dev"),
    ],
)
@pytest.mark.parametrize("size", SIZES)
def test_a_hint_goes_to_the_command_line(
    endpoint: dict[str, Any], hint: str, typed: str, size: tuple[int, int]
) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        driver.app.show_error(NotFoundError("It is not there", hint=hint))
        await driver.shows(f"hint: {hint}")
        assert await driver.pilot.click("#error-hint")
        await driver.until(lambda: line(driver).has_class("shown"))
        assert line(driver).value == typed
        assert "error:" not in driver.screen

    in_console(act, size=size)


def test_an_interrupt_before_the_program_has_started_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pressed = threading.Event()
    pressed.set()
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        app._on_terminal(["sleep", "1000"], "sleep 1000", False, pressed)
    assert "[exit code -2]" in capsys.readouterr().out


HOSTILE = {
    "markup": "[bold red]no[/] [link=x]",
    "escapes": "\x1b[2J\x1b]0;title\x07\x9b31m",
    "right to left": "a\u202eb\u2066c",
    "lines": "a\nhint: eicctl delete-endpoint",
    "long": "word " * 1000,
    "long word": "w" * 5000,
}


@pytest.mark.parametrize("size", SIZES)
def test_hostile_text_is_shown_harmlessly(endpoint: dict[str, Any], size: tuple[int, int]) -> None:
    async def act(driver: Driver) -> None:
        await driver.shows("web-1")
        for name, text in HOSTILE.items():
            driver.app.show_error(UsageError(f"With {name}: {text}", hint="eicctl instances"))
            await driver.shows(f"error: With {name}")
            await driver.pilot.pause()  # the bar takes the height of its text
            screen = driver.screen
            assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(screen)
            assert "hint: eicctl instances" in screen
            assert "Run the hint" in screen
            assert "web-1" in screen  # the bar leaves room for the table
            assert all(len(row) <= size[0] for row in screen.splitlines())
            if name == "markup":
                assert "[bold red]no[/] [link=x]" in screen
            if name == "lines":
                assert "\n   hint: eicctl delete" in screen.replace("\n     ", "\n   ")

    in_console(act, size=size)


def no_credentials(patch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def no_region(patch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        patch.delenv(name, raising=False)


def no_login(patch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    no_credentials(patch, emulator)
    config = Path(os.environ["EICCTL_HOME"]).parent / "sso-config"
    config.write_text(
        "[profile corp]\nregion = us-east-1\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = ops\n"
        "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n"
    )
    patch.setenv("AWS_CONFIG_FILE", str(config))
    patch.setenv("AWS_PROFILE", "corp")


def denied(_patch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.state.behave(denied="DescribeInstances")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("break_it", [no_credentials, no_region, no_login, denied])
def test_errors_are_those_of_the_command_line(
    endpoint: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    emulator: Emulator,
    break_it: Callable[[pytest.MonkeyPatch, Emulator], None],
    size: tuple[int, int],
) -> None:
    break_it(monkeypatch, emulator)
    shown: list[BaseException] = []
    show = ErrorBar.show

    def noted(bar: ErrorBar, error: BaseException) -> None:
        shown.append(error)
        show(bar, error)

    monkeypatch.setattr(ErrorBar, "show", noted)

    async def act(driver: Driver) -> str:
        await driver.shows("error: ")
        return driver.screen

    screen = in_console(act, size=size)
    explained(shown[0])
    printed = capsys.readouterr().err
    assert isinstance(shown[0], EicctlError)
    assert " ".join(printed.split()) in " ".join(screen.split())
