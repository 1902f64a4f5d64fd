"""The commands below a command, for what is made from all of them."""

from __future__ import annotations

from collections.abc import Iterator

import click


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
