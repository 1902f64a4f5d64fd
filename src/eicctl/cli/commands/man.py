"""`eicctl man`. The pages are made by `make docs`, from the commands (`scripts/manual.py`)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

import eicctl
from eicctl.core.errors import NotFoundError, UsageError
from eicctl.view import messages

PAGES = Path(eicctl.__file__).parent / "man"
"""The pages, one per command: `eicctl-policy-check.1`."""


@click.command
@click.argument("commands", nargs=-1, metavar="[COMMAND]…")
@click.option("--install", is_flag=True, help="Install all pages where man finds them, and print how to undo it.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write all pages to this folder.",
)
def command(*, commands: tuple[str, ...], install: bool, directory: Path | None) -> None:
    """Show a command's manual page, or install all pages.

    Without COMMAND, shows the page of eicctl. On a terminal, man(1) shows it; elsewhere its source (roff) is printed.

    \b
    Examples:
      eicctl man ssh
      eicctl man policy check | man -l -
      eicctl man --install
    """
    if (install or directory) and (commands or (install and directory)):
        raise UsageError("--install and --directory are mutually exclusive, and take no COMMAND")
    if install:
        for line in install_pages():
            messages.line(line)
    elif directory:
        written, total = write_pages(directory)
        messages.line(f"Wrote {written} of {total} pages to {directory}")
    else:
        page = PAGES / f"{'-'.join(('eicctl', *commands))}.1"
        if page not in PAGES.iterdir():
            raise NotFoundError(f"No such command {' '.join(commands)!r}", hint="eicctl --help")
        if not (sys.stdout.isatty() and _show(page)):
            click.echo(page.read_text(encoding="utf-8"), nl=False)


def install_pages(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Write the pages where man(1) finds them for this user.

    Returns:
        Lines for the user: what was done, what else is needed, and how to undo it.

    Raises:
        LocalError: They cannot be written.
    """
    from eicctl.support.files import user_folder

    home = user_folder("HOME", "", environ)
    folder = user_folder("XDG_DATA_HOME", ".local/share", environ) / "man/man1"
    written, total = write_pages(folder)
    return [
        f"Wrote {written} of {total} pages to {folder}; the others were up to date",
        f"man finds them if {home / '.local/bin'} is in PATH, or {folder.parent} in MANPATH",
        f"Undo: rm {shlex.quote(str(folder))}/eicctl*.1",
    ]


def write_pages(folder: Path) -> tuple[int, int]:
    """Write the pages to a folder, which is created; return how many were changed, and how many there are.

    Raises:
        LocalError: They cannot be written.
    """
    from eicctl.support.files import install

    pages = list(PAGES.glob("*.1"))
    return sum(install(folder / page.name, page.read_text(encoding="utf-8")) for page in pages), len(pages)


def _show(page: Path) -> bool:
    """Show a page with man(1); return whether that worked."""
    program = shutil.which("man")
    return bool(program) and subprocess.run([str(program), str(page)], check=False).returncode == 0
