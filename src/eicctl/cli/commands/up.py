"""`eicctl up`: the named tunnels of a project, together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import FILE, PROFILE, REGION, TUNNEL
from eicctl.support import pins
from eicctl.view import messages
from eicctl.view.progress import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eicctl.named_tunnels.config_file import Definition

UNREACHABLE = 5
"""Exit code where a tunnel could not be opened."""


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
    from eicctl.cli.up_foreground import run

    return run(defined, output)


def _detached(definitions: Sequence[Definition], output: str) -> int:
    from eicctl.agent import tunnels
    from eicctl.view import render
    from eicctl.view.named_tunnels import COLUMNS, DROPPABLE, row, shown, troubles

    with Waiting("Opening tunnels"):
        statuses = tunnels.detach(definitions)
    if output == "json":
        render.show([row(status) for status in statuses], output=output, query=None, columns={})
    else:
        render.show(
            [shown(status) for status in statuses], output=output, query=None, columns=COLUMNS, droppable=DROPPABLE
        )
        for line in troubles(statuses):
            messages.line(line, pin=False)
    waiting = [status.name for status in statuses if status.state != "open"]
    if waiting:
        messages.line(f"Not open (retrying in background): {', '.join(waiting)} (eicctl ps, eicctl logs)")
    return UNREACHABLE if waiting else 0
