"""`eicctl logs`: what happened to a named tunnel."""

from __future__ import annotations

from itertools import chain

import click

from eicctl.cli.param_types import TUNNEL, Integer
from eicctl.core.errors import NotFoundError
from eicctl.view import messages


@click.command
@click.argument("name", type=TUNNEL)
@click.option("--follow", "-f", is_flag=True, help="Follow the log until Ctrl-C.")
@click.option("--lines", "-n", type=Integer(0), default=50, show_default=True, help="Number of last events to show.")
def command(*, name: str, follow: bool, lines: int) -> int:
    """Show the log of a named tunnel.

    The log lists connections, and why one failed. It is kept after the tunnel is closed.

    \b
    Examples:
      eicctl logs db
      eicctl logs db --follow --lines 0
    """
    from eicctl.named_tunnels.config_file import is_name
    from eicctl.named_tunnels.log import followed, last_events
    from eicctl.view.events import stamped

    if not is_name(name):
        raise NotFoundError(f"Invalid tunnel name {name!r}")
    try:
        found = last_events(name, lines)
    except FileNotFoundError:
        if not follow:
            raise NotFoundError(f"No log of a tunnel named {name!r}", hint="eicctl ps") from None
        found = []
    for event in chain(found, followed(name) if follow else ()):
        for line in stamped(event):
            messages.out(line)
    return 0
