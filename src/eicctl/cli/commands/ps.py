"""`eicctl ps`: the tunnels in the background."""

from __future__ import annotations

import click

from eicctl.cli import options
from eicctl.view import messages
from eicctl.view.progress import Waiting


@click.command
@options.output_options
def command(*, output: str, query: str | None) -> int:
    """List background tunnels.

    \b
    Examples:
      eicctl ps
      eicctl ps --output json --query "[?State!='open'].[Name,Error]"
    """
    from eicctl.agent import tunnels
    from eicctl.view import render
    from eicctl.view.named_tunnels import COLUMNS, DROPPABLE, row, shown, troubles

    with Waiting("Asking the background processes"):
        processes = tunnels.states()
    found = [(status, held.pid) for held in processes for status in held.statuses]
    for held in processes:
        if held.trouble:
            messages.line(held.trouble.message)
            messages.line(f"hint: {held.trouble.hint}")
    if output != "table" or query:
        render.show([row(status, pid) for status, pid in found], output=output, query=query)
        return 0
    if not found:
        messages.line("No tunnels are open in the background")
        messages.line("hint: eicctl up --detach")
        return 0
    render.show([shown(status) for status, _ in found], output=output, columns=COLUMNS, droppable=DROPPABLE)
    for line in troubles([status for status, _ in found if status.state != "unknown"]):
        messages.line(line, pin=False)
    return 0
