"""The command reference as Markdown, made from what `--help` prints."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from eicctl.cli import eicctl

HEAD = "# Command reference\n\nMade from `--help` by `make docs`; `make check` fails when it is stale.\n"


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command below `group`, with its path."""
    context = click.Context(group, info_name=path[-1])
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command and not command.hidden:
            yield (*path, name), command
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))


def help_of(path: tuple[str, ...], command: click.Command) -> str:
    """What `eicctl … --help` prints, at a width of 100 columns."""
    context: click.Context | None = None
    for name in path:
        settings = {**eicctl.context_settings, "terminal_width": 100}
        context = click.Context(command, info_name=name, parent=context, **settings)
    assert context
    return command.get_help(context)


def reference() -> str:
    """The whole page."""
    os.environ["NO_COLOR"] = "1"
    pages = [HEAD, f"## eicctl\n\n```text\n{help_of(('eicctl',), eicctl)}\n```\n"]
    for path, command in commands(eicctl, ("eicctl",)):
        pages.append(f"## {' '.join(path)}\n\n```text\n{help_of(path, command)}\n```\n")
    return "\n".join(pages)
