"""Draw docs/images/ui-*.svg: the console's panes as Textual exports them, before a local AWS with broken machines.

`python scripts/make_screens.py [PANE …]`; those of the repository by default.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

from textual.pilot import Pilot

from eicctl.aws.session import Session
from eicctl.cli import eicctl
from eicctl.emulator.server import Emulator, Options
from eicctl.ui import PANES
from eicctl.ui.app import Console, Scope

IMAGES = Path(__file__).parent.parent / "docs" / "images"
KEPT = ("instances", "doctor")
"""What the README and the how-to page show."""

SIZE = (112, 26)


async def drawn(pane: str) -> str:
    """Open a pane, and return its picture once it waits for nothing."""
    app = Console(Scope([Session()]), eicctl)
    async with app.run_test(size=SIZE) as pilot:
        await settled(app, pilot)
        if pane == "doctor":  # of an instance that cannot be reached
            app.current.set_filter("no-ingress")
            await pilot.press("d")
        elif pane == "tunnels":  # with one
            app.current.set_filter("good-linux")
            await pilot.press("t")
            await pilot.pause(1)
        else:
            await app.action_pane(pane)
        await settled(app, pilot)
        return app.export_screenshot(title="eicctl ui")


async def settled(app: Console, pilot: Pilot[None]) -> None:
    """Wait until nothing is read any more."""
    await pilot.pause(0.3)
    while app.is_waiting:
        await pilot.pause(0.1)
    await pilot.pause(0.3)


def main() -> None:
    panes = sys.argv[1:] or KEPT
    if unknown := set(panes) - set(PANES):
        sys.exit(f"No such pane: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="eic-") as folder, Emulator(Options(world=Path("broken"))) as emulator:
        os.environ.update({name: value for name, value in emulator.env.items() if value})
        os.environ.update({"EICCTL_HOME": folder, "HOME": folder, "EICCTL_AGENT": "off"})
        for pane in panes:
            svg = asyncio.run(drawn(pane))
            # The fonts of the template would be loaded from elsewhere; a picture loads nothing.
            svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
            svg = re.sub(r"terminal-\d+", "eicctl", svg).replace(
                "<!-- Generated with Rich https://www.textualize.io -->", ""
            )
            (IMAGES / f"ui-{pane}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
