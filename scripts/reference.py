"""The pages of the reference that are made from the program: commands from `--help`, and the checks of doctor."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import click

from eicctl.cli import eicctl
from eicctl.doctor.check import registry

HEAD = "# Command reference\n\nMade from `--help` by `make docs`; `make check` fails when it is stale.\n"

WIDTH = 100


def contexts(root: click.Command) -> Iterator[click.Context]:
    """Yield a context for a command and for each one below it that is not hidden."""
    context = click.Context(root, info_name=root.name, **root.context_settings)
    yield context
    yield from _below(context)


def _below(context: click.Context) -> Iterator[click.Context]:
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command and not command.hidden:
            child = click.Context(command, parent=context, info_name=name)
            yield child
            yield from _below(child)


def path_of(context: click.Context) -> tuple[str, ...]:
    """The words of a command, without the program's."""
    return () if context.parent is None else (*path_of(context.parent), context.info_name or "")


def help_of(context: click.Context) -> str:
    """What `--help` prints, at a width of 100 columns."""
    at: click.Context | None = context
    while at:
        at.terminal_width, at = WIDTH, at.parent
    return context.get_help()


def commands() -> str:
    """The command reference."""
    os.environ["NO_COLOR"] = "1"
    pages = [HEAD]
    for context in contexts(eicctl):
        pages.append(f"## {' '.join(('eicctl', *path_of(context)))}\n\n```text\n{help_of(context)}\n```\n")
    return "\n".join(pages)


CHECKS_HEAD = """# Checks of `eicctl doctor`

Made from `src/eicctl/doctor/checks/` by `make docs`; `make check` fails when it is stale. In the order of the list.
The first check that failed is the likely cause, with [four
exceptions](../explanation/reachability.md#the-cause-that-doctor-names). `iam:GetRole` is for callers that are roles.

| key | title | inspects | after | IAM permissions |
| --- | --- | --- | --- | --- |
"""


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def doctor_checks() -> str:
    """The list of doctor's checks."""
    rows = [
        (f"`{check.key}`", check.title, check.inspects, _code(check.needs), _code(check.permissions))
        for check in registry()
    ]
    return CHECKS_HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
