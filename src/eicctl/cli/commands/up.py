"""`eicctl up`: the named tunnels of a project, together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import FILE, PROFILE, REGION, TUNNEL
from eicctl.core import sanitize
from eicctl.core.errors import INTERRUPTED
from eicctl.support import pins
from eicctl.view import messages, progress
from eicctl.view.progress import Waiting

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from eicctl.core.events import TunnelEvent
    from eicctl.named_tunnels.config_file import Definition
    from eicctl.named_tunnels.status import Status
    from eicctl.named_tunnels.supervisor import Supervisor

UNREACHABLE = 5
"""Exit code where a tunnel could not be opened."""


DRAWN_EVERY = 0.5
"""Seconds between two drawings of the table."""

_FOOTER = "Ctrl-C closes them; to open them in the background: eicctl up --detach"


@click.command
@click.argument("names", nargs=-1, type=TUNNEL, metavar="[NAME]…")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File with tunnel definitions; default: the nearest eicctl.toml here or above, and config.toml.",
)
@click.option("--detach", "-d", is_flag=True, help="Run in the background; see ps, logs and down.")
@click.option("--profile", type=PROFILE, metavar="NAME", help="AWS profile for tunnels whose definition has none.")
@click.option("--region", type=REGION, metavar="REGION", help="AWS region for tunnels whose definition has none.")
@click.option(
    "--ca-bundle", type=FILE, metavar="FILE", help="CA certificates (PEM) for tunnels whose definition has none."
)
@options.log_options
@click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Output format; json: with --detach a list, otherwise one object per line at each state change.",
)
def command(
    *,
    names: tuple[str, ...],
    file: Path | None,
    detach: bool,
    profile: str | None,
    region: str | None,
    ca_bundle: str | None,
    output: str,
) -> int:
    """Open named tunnels and keep them open.

    Tunnels are defined in eicctl.toml (or in config.toml) as tables [tunnel.NAME], for example with target = "web-1"
    and remote_port = 22. Without NAME, opens all of them. A tunnel that cannot be opened is retried while the others
    run. Ctrl-C closes them all; --detach keeps them open in the background.

    \b
    Examples:
      eicctl up
      eicctl up db proxy
      eicctl up --detach && eicctl ps
    """
    pins.use(profile, region)
    from eicctl.named_tunnels.config_file import choose, find_definitions, with_defaults

    chosen = choose(find_definitions(file), names)
    defined = [with_defaults(definition, profile, region, ca_bundle) for definition in chosen]
    if detach:
        return _detached(defined, output)
    return _in_foreground(defined, output)


def _detached(definitions: Sequence[Definition], output: str) -> int:
    from eicctl.agent import tunnels
    from eicctl.view import render
    from eicctl.view.named_tunnels import COLUMNS, DROPPABLE, row, shown, troubles

    with Waiting("Opening tunnels"):
        statuses = tunnels.detach(definitions)
    if output == "json":
        render.show([row(status) for status in statuses], output=output)
    else:
        render.show([shown(status) for status in statuses], output=output, columns=COLUMNS, droppable=DROPPABLE)
        for line in troubles(statuses):
            messages.line(line, pin=False)
    waiting = [status.name for status in statuses if status.state != "open"]
    if waiting:
        messages.line(f"Not open (retrying in background): {', '.join(waiting)} (eicctl ps, eicctl logs)")
    return UNREACHABLE if waiting else 0


def _in_foreground(definitions: Sequence[Definition], output: str) -> int:
    """Keep tunnels open until Ctrl-C: with a live table on a terminal, with lines elsewhere."""
    from eicctl.cli.listening import run_interruptibly

    progress.uninstall()
    run_interruptibly(lambda stop: _run(definitions, output, stop))
    return INTERRUPTED


async def _run(definitions: Sequence[Definition], output: str, stop: asyncio.Event) -> None:
    import asyncio

    from eicctl.named_tunnels.log import TunnelLogs
    from eicctl.named_tunnels.supervisor import Supervisor
    from eicctl.view.events import lines

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
    import asyncio

    from rich.live import Live

    from eicctl.named_tunnels.status import Meter
    from eicctl.view.named_tunnels import live_table

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
                _report(status, output)


def _report(status: Status, output: str) -> None:
    from eicctl.view.named_tunnels import row

    if output == "json":
        messages.event("state", **row(status))
    elif status.state == "open":
        where = " and ".join(status.local)
        messages.status(sanitize.line(f"{status.name}: {where} for {status.remote} (through {status.via})"))
