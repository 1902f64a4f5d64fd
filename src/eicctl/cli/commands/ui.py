"""`eicctl ui`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import cast

import click

from eicctl.cli import options
from eicctl.cli.param_types import PROFILE, REGION
from eicctl.core.errors import LocalError, UsageError
from eicctl.support import pins
from eicctl.ui import PANES


@click.command
@click.option("--profile", type=PROFILE, cls=options.Repeatable, metavar="NAME", help="AWS profile; repeatable.")
@click.option("--region", cls=options.Repeatable, type=REGION, metavar="REGION", help="AWS region; repeatable.")
@click.option("--all-regions", is_flag=True, help="Show all regions that are enabled for the account.")
@click.option(
    "--pane", type=click.Choice(list(PANES)), default="instances", show_default=True, help="The pane to show first."
)
@options.wire_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    profile: tuple[str, ...],
    region: tuple[str, ...],
    all_regions: bool,
    pane: str,
    ca_bundle: str | None,
    fips: bool,
) -> None:
    """Open the full-screen console: instances, endpoints, tunnels, databases, doctor, audit.

    Press ? for the keys, : to run a command of eicctl, q to leave. Needs the extra `ui`.

    \b
    Examples:
      eicctl ui
      eicctl ui --all-regions --profile dev --profile prod
      eicctl ui --pane instances
    """
    if region and all_regions:
        raise UsageError("--region and --all-regions are mutually exclusive")
    if find_spec("textual") is None:
        raise LocalError("The console needs Textual, which is not installed", hint="pipx install 'eicctl[ui]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("The console needs a terminal", hint="eicctl instances")
    from eicctl.ui.app import Console, Scope

    sessions = [options.session(name, None, ca_bundle, fips) for name in profile or (None,)]
    pins.use(sessions[0].profile, region[0] if region else None)  # of the hints in errors
    commands = cast("click.Group", ctx.find_root().command)
    Console(Scope(sessions, region, all_regions), commands, first=pane).run()
