"""`eicctl help`."""

from __future__ import annotations

from typing import Any

import click

from eicctl.cli import options

_PAGE = {
    "Options of every command": options.aws_options,
    "Options of commands that connect": options.level_options,
    "Options of commands that list or show": options.output_options,
}


class _Words(click.Argument):
    """Names of commands, completed level by level."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        root = ctx.find_root().command
        words = [*(ctx.params.get("words") or ())]
        command = _find(ctx, words)[0] if words else root
        names = command.list_commands(ctx) if isinstance(command, click.Group) else []
        more = ["options"] if command is root else []
        return [CompletionItem(name) for name in [*more, *names] if name.startswith(incomplete)]


@click.command
@click.argument("words", nargs=-1, cls=_Words, metavar="[COMMAND… | options]")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command, or of the options that all commands have.

    \b
    Examples:
      eicctl help ssh
      eicctl help policy check
      eicctl help options
    """
    if words == ("options",):
        click.echo(options_page(ctx), nl=False)
        return
    found, context = _find(ctx, words)
    click.echo(found.get_help(context))


def _find(ctx: click.Context, words: tuple[str, ...] | list[str]) -> tuple[click.Command, click.Context]:
    """Return the command that words name, and its context.

    Raises:
        UsageError: There is none.
    """
    context = ctx.find_root()
    found = context.command
    for word in words:
        below = found.get_command(context, word) if isinstance(found, click.Group) else None
        if below is None:
            raise click.UsageError(f"No such command {' '.join(words)!r}.", context)
        found, context = below, click.Context(below, parent=context, info_name=word)
    return found, context


def options_page(ctx: click.Context) -> str:
    """Return the page of the options that many commands have."""
    formatter = ctx.make_formatter()
    for heading, decorator in _PAGE.items():

        @click.command
        @decorator
        def shown(**_values: object) -> None:
            """Has the options."""

        records = [
            click.Option.get_help_record(param, ctx) for param in shown.params if isinstance(param, click.Option)
        ]
        with formatter.section(heading):
            formatter.write_dl([record for record in records if record])
    return formatter.getvalue().lstrip()
