"""`eicctl recent`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from eicctl.cli import options
from eicctl.support import recents
from eicctl.view import messages, render

_COLUMNS = {
    "Started": "StartedAt",
    "Command": "Command",
    "Target": "Target",
    "User": "User",
    "Duration": "Duration",
    "Region": "Region",
    "Profile": "Profile",
}


@click.command
@click.option("--clear", is_flag=True, help="Clear the list.")
@options.output_options
@options.log_options
def command(*, clear: bool, output: str, query: str | None) -> None:
    """List recent connections.

    The latest connection comes first. The target `-` is that of the latest one, and lists of targets start with recent
    ones. An open connection has no duration. Nothing else is stored: no commands, output or keys.

    \b
    Examples:
      eicctl recent
      eicctl ssh -
      eicctl recent --query "[?Command=='ssh'].Target" --output text
      eicctl recent --clear
    """
    if clear:
        recents.clear()
        messages.line("Cleared")
        return
    found = recents.recent()
    if output != "table" or query:
        render.show([_row(each) for each in found], output=output, query=query)
    elif found:
        render.show([_shown(each) for each in found], output=output, columns=_COLUMNS)
    else:
        messages.line("No recent connections")


def _row(recent: recents.Recent) -> dict[str, object]:
    return {
        "StartedAt": datetime.fromtimestamp(recent.started, UTC),
        "Command": recent.command,
        "Target": recent.target,
        "InstanceId": recent.instance_id or None,
        "User": recent.user,
        "DurationSeconds": recent.seconds,
        "Profile": recent.profile,
        "Region": recent.region,
    }


def _shown(recent: recents.Recent) -> dict[str, object]:
    started = datetime.fromtimestamp(recent.started).astimezone().strftime("%Y-%m-%d %H:%M")
    duration = "" if recent.seconds is None else _duration(int(recent.seconds))
    return {**_row(recent), "StartedAt": started, "Duration": duration}


def _duration(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}:{minutes:02}:{seconds % 60:02}"
