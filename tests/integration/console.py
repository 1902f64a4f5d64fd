"""The console without a terminal: Textual's pilot presses keys, and what the screen shows is read as text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from textual.pilot import Pilot

from eicctl.aws.session import Session
from eicctl.cli import eicctl
from eicctl.ui.app import Console, Scope

T = TypeVar("T")


class Driver:
    """Presses keys in a console, and reads its screen."""

    def __init__(self, app: Console, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> str:
        """What stands on the screen, line by line."""
        compositor = self.app.screen._compositor
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in compositor.render_strips())

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Type a text."""
        await self.press(*({" ": "space", "/": "slash", ":": "colon", "-": "minus"}.get(char, char) for char in text))

    async def shows(self, text: str) -> str:
        """Wait until a text is on the screen; return the line that has it."""
        await self.until(lambda: text in self.screen, what=repr(text))
        return next(line for line in self.screen.splitlines() if text in line)

    async def until(self, condition: Callable[[], object], *, what: str = "the change", seconds: float = 60) -> None:
        """Wait until something is true."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await self.pilot.pause(0.02)
        except TimeoutError:
            raise AssertionError(f"{what} did not come:\n{self.screen}") from None


def in_console(
    act: Callable[[Driver], Awaitable[T]],
    *,
    first: str = "instances",
    size: tuple[int, int] = (120, 30),
    profiles: Sequence[str | None] = (None,),
) -> T:
    """Open a console for the environment's account or for profiles, do something in it, and leave it."""

    async def run() -> T:
        app = Console(Scope([Session(profile=profile) for profile in profiles]), eicctl, first=first)
        async with app.run_test(size=size) as pilot:
            return await act(Driver(app, pilot))

    return asyncio.run(run())
