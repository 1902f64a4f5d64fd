"""The command line as plain values, read from Click's commands."""

from __future__ import annotations

from collections.abc import Iterator

import click

from eicctl.cli.openssh_command import OpensshCommand
from eicctl.completion.tree import COPY, FILE, REGION, Command, Option, Tree

_OPTIONS = {
    "--profile": "profile",
    "--region": REGION,
    "--ca-bundle": FILE,
    "--instance-id": "instance-id",
    "--instance-connect-endpoint-id": "endpoint-id",
    "--endpoint": "endpoint",
    "--target": "instance",
    "--via": "instance",
    "--report": FILE,
    "--from": FILE,
    "--local-socket": FILE,
}
_ARGUMENTS = {
    "commands": "",
    "target": "instance",
    "targets": "instance",
    "endpoint": "endpoint",
    "database": "database",
    "file": FILE,
    "names": "tunnel",
    "name": "tunnel",
}
_OF_COMMANDS = {("proxy", "target"): "host", ("mfa logout", "name"): "profile", ("forward", "forwards"): "forward"}
_OPENSSH = {"ssh": "login", "sftp": "login", "scp": COPY}


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


def tree_of(root: click.Command, regions: tuple[str, ...] = ()) -> Tree:
    """Return a command and all below it as plain values."""
    return Tree(tuple(_command(context) for context in contexts(root)), regions)


def path_of(context: click.Context) -> tuple[str, ...]:
    """The words of a command, without the program's."""
    return () if context.parent is None else (*path_of(context.parent), context.info_name or "")


def _command(context: click.Context) -> Command:
    path = path_of(context)
    params = context.command.get_params(context)
    options = [_option(param) for param in params if isinstance(param, click.Option) and not param.hidden]
    arguments = [param for param in params if isinstance(param, click.Argument)]
    kinds = [_argument(" ".join(path), argument) for argument in arguments]
    repeats = any(argument.nargs == -1 for argument in arguments)
    ends = False
    if isinstance(context.command, OpensshCommand):
        grammar = context.command.grammar
        options += [Option((f"-{flag}",), FILE if flag in "Fi" else "") for flag in sorted(grammar.with_argument)]
        kinds, repeats, ends = [_OPENSSH[grammar.name]], grammar.name == "scp", grammar.operands_end_options
    summary = (context.command.help or "").split("\n", 1)[0]
    return Command(path, summary, tuple(options), tuple(kinds), repeats, ends)


def _option(option: click.Option) -> Option:
    names = (*option.opts, *option.secondary_opts)
    # One with an optional value takes none as a word of its own: `--wait`, `--wait=60`.
    optional = isinstance(option.flag_value, (str, float)) and not option.is_flag
    if option.is_flag or option.count or optional:
        return Option(names, None, option.help or "")
    return Option(
        names, _kind(option, next((_OPTIONS[name] for name in names if name in _OPTIONS), "")), option.help or ""
    )


def _argument(command: str, argument: click.Argument) -> str:
    name = argument.name or ""
    return _kind(argument, _OF_COMMANDS.get((command, name), _ARGUMENTS.get(name, "")))


def _kind(parameter: click.Parameter, otherwise: str) -> str:
    if isinstance(parameter.type, click.Choice):
        return "=" + " ".join(map(str, parameter.type.choices))
    return FILE if isinstance(parameter.type, click.Path) else otherwise


def known_regions() -> tuple[str, ...]:
    """The regions that botocore knows."""
    from eicctl.aws.session import Session

    return tuple(sorted(Session().known_regions("ec2")))
