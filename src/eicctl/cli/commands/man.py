"""`eicctl man`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from eicctl.cli.view import messages
from eicctl.core.errors import NotFoundError, UsageError


@click.command
@click.argument("commands", nargs=-1, metavar="[COMMAND]…")
@click.option("--install", is_flag=True, help="Write all pages where man finds them, and say where and how to undo it.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write all pages into this folder.",
)
def command(*, commands: tuple[str, ...], install: bool, directory: Path | None) -> None:
    """Show the manual page of a command, or install all pages.

    Without COMMAND it is that of all. On a terminal man(1) shows it; elsewhere its source (roff) is printed.

    \b
    Examples:
      eicctl man ssh
      eicctl man policy check | man -l -
      eicctl man --install
    """
    from eicctl.cli import eicctl
    from eicctl.cli.manual import sources
    from eicctl.manual.place import install_pages, show, write_pages

    if (install or directory) and (commands or (install and directory)):
        raise UsageError("--install and --directory write all pages, and exclude each other")
    found = sources(eicctl)
    if install:
        for line in install_pages(found):
            messages.line(line)
    elif directory:
        messages.line(f"wrote {write_pages(found, directory)} of {len(found)} pages into {directory}")
    else:
        name = "-".join(("eicctl", *commands))
        if name not in found:
            raise NotFoundError(f"there is no command {' '.join(commands)!r}", hint="eicctl --help lists them")
        if not (sys.stdout.isatty() and show(name, found[name])):
            click.echo(found[name], nl=False)
