"""The command reference as Markdown, made from what `--help` prints."""

from __future__ import annotations

import os

import click

from eicctl.cli import eicctl
from eicctl.cli.tree import contexts, path_of

HEAD = "# Command reference\n\nMade from `--help` by `make docs`; `make check` fails when it is stale.\n"

WIDTH = 100


def help_of(context: click.Context) -> str:
    """What `--help` prints, at a width of 100 columns."""
    at: click.Context | None = context
    while at:
        at.terminal_width, at = WIDTH, at.parent
    return context.get_help()


def reference() -> str:
    """The whole page."""
    os.environ["NO_COLOR"] = "1"
    pages = [HEAD]
    for context in contexts(eicctl):
        pages.append(f"## {' '.join(('eicctl', *path_of(context)))}\n\n```text\n{help_of(context)}\n```\n")
    return "\n".join(pages)
