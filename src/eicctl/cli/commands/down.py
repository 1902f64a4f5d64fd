"""`eicctl down`: end tunnels in the background."""

from __future__ import annotations

from pathlib import Path

import click

from eicctl.cli.param_types import TUNNEL
from eicctl.core.errors import LocalError, NotFoundError, UsageError
from eicctl.core.names import counted
from eicctl.view import messages
from eicctl.view.progress import Waiting


@click.command
@click.argument("names", nargs=-1, type=TUNNEL, metavar="[NAME]…")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Close the tunnels that this file defines; default: as for eicctl up.",
)
@click.option("--all", "everything", is_flag=True, help="Close all tunnels and stop the background process.")
@click.option("--force", is_flag=True, help="With --all: kill a background process that does not respond.")
def command(*, names: tuple[str, ...], file: Path | None, everything: bool, force: bool) -> int:
    """Close background tunnels.

    Their connections are closed, too. Without NAME, closes the tunnels that `eicctl up` would open here.

    \b
    Examples:
      eicctl down
      eicctl down db
      eicctl down --all
      eicctl down --all --force
    """
    from eicctl.agent import tunnels

    if everything:
        if names or file:
            raise UsageError("--all takes neither NAME nor --file")
        return _end_all(force)
    if force:
        raise UsageError("--force requires --all", hint="eicctl down --all --force")
    with Waiting("Closing tunnels"):
        closed = tunnels.close(list(names) or _defined(file))
    missing = [name for name in names if name not in closed]
    if missing:
        raise NotFoundError(f"No background tunnel named {', '.join(missing)}", hint="eicctl ps")
    messages.line(f"Closed: {', '.join(closed)}" if closed else "No tunnels are open in the background")
    return 0


def _end_all(force: bool) -> int:
    from eicctl.agent import tunnels

    with Waiting("Closing tunnels"):
        ended = tunnels.end(force=force)
    done = [one for one in ended if not one.trouble]
    names = [name for one in done for name in one.names]
    count = counted(len(done), "background process", "background processes")
    if done or not ended:
        messages.line(f"Closed: {', '.join(names) or count}" if done else "No tunnels are open in the background")
    troubles = [one.trouble.message for one in ended if one.trouble]
    if troubles:
        raise LocalError("; ".join(troubles), hint="eicctl down --all --force")
    return 0


def _defined(file: Path | None) -> list[str]:
    from eicctl.named_tunnels.config_file import find_definitions

    return [definition.name for definition in find_definitions(file)]
