"""`eicctl down`: end tunnels in the background."""

from __future__ import annotations

from pathlib import Path

import click

from eicctl.cli import report
from eicctl.errors import NotFoundError, UsageError


@click.command
@click.argument("names", nargs=-1, metavar="[NAME]…")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="End those that this file defines; default: as for eicctl up.",
)
@click.option("--all", "everything", is_flag=True, help="End all of them, and the background process.")
def command(*, names: tuple[str, ...], file: Path | None, everything: bool) -> int:
    """End tunnels that are open in the background.

    The connections that they carry end with them. Without a NAME it ends those that are defined here, as `eicctl up`
    would open them.

    \b
    Examples:
      eicctl down
      eicctl down db
      eicctl down --all
    """
    from eicctl.agent import tunnels

    if everything:
        if names or file:
            raise UsageError("--all goes with neither names nor --file")
        closed = _end_all()
    else:
        wanted = list(names) or _defined(file)
        closed = tunnels.close(wanted)
        missing = [name for name in names if name not in closed]
        if missing:
            raise NotFoundError(f"not open in the background: {', '.join(missing)}", hint="eicctl ps lists what is")
    report.line(f"ended: {', '.join(closed)}" if closed else "nothing was open in the background")
    return 0


def _end_all() -> list[str]:
    from eicctl.agent import tunnels
    from eicctl.errors import EicctlError

    try:
        closed = tunnels.close(None)
    except EicctlError:  # a process of another version understands only that it shall end
        closed = []
    count = tunnels.end()
    return closed or ([f"{count} background process{'es' if count > 1 else ''}"] if count else [])


def _defined(file: Path | None) -> list[str]:
    from eicctl.named.reading import find_definitions

    return [definition.name for definition in find_definitions(file)]
