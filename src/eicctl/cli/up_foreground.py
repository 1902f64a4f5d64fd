"""`eicctl up` in the foreground: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from eicctl.cli.signals import run_interruptibly
from eicctl.core import sanitize
from eicctl.core.errors import INTERRUPTED
from eicctl.core.events import TunnelEvent
from eicctl.named_tunnels.config_file import Definition
from eicctl.named_tunnels.log import TunnelLogs
from eicctl.named_tunnels.status import Meter, Status
from eicctl.named_tunnels.supervisor import Supervisor
from eicctl.view import messages, progress
from eicctl.view.events import lines
from eicctl.view.named_tunnels import live_table, row

DRAWN_EVERY = 0.5
"""Seconds between two drawings of the table."""

_FOOTER = "Ctrl-C closes them; to open them in the background: eicctl up --detach"


def run(definitions: Sequence[Definition], output: str) -> int:
    """Keep tunnels open until Ctrl-C."""
    progress.uninstall()
    run_interruptibly(lambda stop: _run(definitions, output, stop))
    return INTERRUPTED


async def _run(definitions: Sequence[Definition], output: str, stop: asyncio.Event) -> None:
    logs = TunnelLogs()
    on_terminal = output == "table" and sys.stdout.isatty()
    changed = asyncio.Event()

    def keep(name: str, event: TunnelEvent) -> None:
        logs.write(name, event)
        if not on_terminal:
            for line in lines(event):
                messages.line(f"{name}: {line}", pin=False)

    supervisor = Supervisor(keep, changed.set)
    try:
        await supervisor.open(definitions)
        showing = asyncio.create_task(_table(supervisor) if on_terminal else _lines(supervisor, changed, output))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            showing.result()  # it never ends but by an error
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
    finally:
        await supervisor.close()
        logs.close()


async def _table(supervisor: Supervisor) -> None:
    from rich.live import Live

    meter = Meter()
    with Live(auto_refresh=False) as live:
        while True:
            statuses = meter.with_rates(supervisor.statuses())
            live.update(live_table(statuses, _FOOTER, live.console.width), refresh=True)
            await asyncio.sleep(DRAWN_EVERY)


async def _lines(supervisor: Supervisor, changed: asyncio.Event, output: str) -> None:
    """A line on stdout for each tunnel whose state has changed."""
    told: dict[str, tuple[str, str]] = {}
    while True:
        await changed.wait()
        changed.clear()
        for status in supervisor.statuses():
            now = (status.state, status.error)
            if told.get(status.name) != now:
                told[status.name] = now
                _tell(status, output)


def _tell(status: Status, output: str) -> None:
    if output == "json":
        messages.event("state", **row(status))
    elif status.state == "open":
        where = " and ".join(status.local)
        messages.status(sanitize.line(f"{status.name}: {where} for {status.remote} (through {status.via})"))
