"""A Click group that imports a command's module on demand."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group whose commands are modules of a package.

    The module of `create-endpoint` is `create_endpoint`, and its attribute `command` is the Click command.

    Args:
        package: The package that holds the modules.
        sections: By heading, each command's name and the first line of its help, shown without importing it.
    """

    def __init__(self, *args: Any, package: str, sections: Mapping[str, Mapping[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.sections = sections
        self.summaries = {name: summary for section in sections.values() for name, summary in section.items()}

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except SystemExit as end:
            # Click and rich exit with 1 only if the reader of stdout has closed it, which has an exit code of its own.
            if end.code == 1:
                raise BrokenPipeError from end
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.summaries:
            return None
        module = import_module(f"{self.package}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.summaries and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], self.summaries, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete commands without importing them."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=what) for name, what in self.summaries.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.summaries))  # the same in all sections
        for heading, section in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in section.items()])
