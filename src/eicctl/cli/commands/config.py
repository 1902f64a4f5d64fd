"""`eicctl config`: the settings of `config.toml` and of a project's `eicctl.toml`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from eicctl.cli import Group, options
from eicctl.core.errors import LocalError, NotFoundError, UsageError
from eicctl.support import defaults, files, paths, pins, settings
from eicctl.support.defaults import ALIAS, HOST
from eicctl.support.toml_files import line_of
from eicctl.view import messages, render

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_VARIABLES = {
    "profile": pins.PROFILE_VARIABLES,
    "region": pins.REGION_VARIABLES,
    "agent": ("EICCTL_AGENT",),
    "spare": ("EICCTL_SPARE",),
    "log_file": ("EICCTL_LOG_FILE",),
}
"""Variables that take precedence over a key."""

_ALIAS = settings.Key(lambda value: isinstance(value, str), "the name of a target", "what the name stands for")


class _Setting(NamedTuple):
    """A key: the tables that it is in, its name there, and what it may be."""

    tables: tuple[str, ...]
    name: str
    known: settings.Key


def _setting(key: str) -> _Setting:
    """Return where a key is set: `region`, `alias.NAME` or `host.PATTERN.KEY`.

    Raises:
        UsageError: The key is unknown.
    """
    table, _, rest = key.partition(".")
    if table == ALIAS and rest:
        return _Setting((ALIAS,), _unquoted(rest), _ALIAS)
    if table == HOST and rest:
        pattern, _, name = rest.rpartition(".")
        if pattern and name in settings.HOST_KEYS:
            return _Setting((HOST, _unquoted(pattern)), name, settings.HOST_KEYS[name])
        raise UsageError(f'No setting named "{key}"', hint=f"host.PATTERN.KEY; {_keys(settings.HOST_KEYS, name)}")
    if key in settings.KEYS:
        return _Setting((), key, settings.KEYS[key])
    raise UsageError(f'No setting named "{key}"', hint=_keys({**settings.KEYS, **dict.fromkeys(_TABLES)}, key))


_TABLES = (f"{ALIAS}.NAME", f"{HOST}.PATTERN.KEY")


def _keys(keys: dict[str, Any], key: str) -> str:
    return settings.known_keys(keys, key)


def _unquoted(name: str) -> str:
    return name.strip("\"'")


class _KeyType(click.ParamType):  # type: ignore[type-arg]  # generic since Click 8.4
    """A key, completed with what it does."""

    name = "key"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=known.help) for name, known in settings.KEYS.items()]
        if incomplete.startswith(f"{HOST}.") and (pattern := incomplete[5:].rpartition(".")[0]):
            found = [
                CompletionItem(f"{HOST}.{pattern}.{name}", help=key.help) for name, key in settings.HOST_KEYS.items()
            ]
        else:
            found += [CompletionItem(f"{table}.", "nospace") for table in (ALIAS, HOST)]
        return [item for item in found if item.value.startswith(incomplete)]


class _ValueType(click.ParamType):  # type: ignore[type-arg]  # generic since Click 8.4
    """A value, completed for its key."""

    name = "value"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        from click.shell_completion import CompletionItem

        from eicctl.cli import param_types

        try:
            name, known = _setting(str(ctx.params.get("key")))[1:]
        except UsageError:
            return []
        kinds = {
            "profile": param_types.PROFILE,
            "region": param_types.REGION,
            "endpoint": param_types.ENDPOINT_ID,
            "log_file": param_types.FILE,
            "private_key_file": param_types.FILE,
        }
        kind = param_types.INSTANCE if known is _ALIAS else kinds.get(name)
        if kind:
            return kind.shell_complete(ctx, param, incomplete)
        return [CompletionItem(value) for value in known.values if value.startswith(incomplete)]


_project_option = click.option("--project", is_flag=True, help="The project's eicctl.toml instead of config.toml.")


@click.group(cls=Group)
def command() -> None:
    """Show and change the defaults of all commands.

    The order: options, environment variables, the project's eicctl.toml, your config.toml.

    \b
    Examples:
      eicctl config set region eu-west-1
      eicctl config set 'host.prod-*.profile' prod
      eicctl config set alias.db1 rds:orders-prod
      eicctl config list
    """


@command.command()
@click.argument("key", type=_KeyType())
def get(*, key: str) -> None:
    """Print the value of KEY that is in effect.

    \b
    Examples:
      eicctl config get region
      eicctl config get 'host.prod-*.os_user'
    """
    setting = _setting(key)
    canonical = ".".join((*setting.tables, setting.name))
    for row in _rows():
        if row["Key"] == canonical:
            value = row["Value"]
            click.echo("\n".join(map(_text, value)) if isinstance(value, list) else messages.printable(_text(value)))
            return
    raise NotFoundError(f"{key} is not set", hint=pins.command("eicctl", "config", "set", key, "VALUE"))


@command.command(name="set")
@click.argument("key", type=_KeyType())
@click.argument("values", nargs=-1, required=True, metavar="VALUE…", type=_ValueType())
@_project_option
def set_(*, key: str, values: tuple[str, ...], project: bool) -> None:
    """Set KEY to VALUE, after checking it. Comments and the order of the file are kept.

    \b
    Examples:
      eicctl config set profile dev
      eicctl config set 'host.prod-*.keep' true
      eicctl config set host.web-1.forward 8080:localhost:80 5432:db.internal:5432
      eicctl config set alias.db1 rds:orders-prod --project
    """
    setting = _setting(key)
    value = setting.known.parsed(values)
    if not setting.known.check(value):
        raise UsageError(f"{key} must be {setting.known.wanted}, not {value!r}")
    settings.store(setting.tables, setting.name, value, project=_file(project=True) if project else None)


@command.command(name="list")
@options.output_options
def list_(*, output: str, query: str | None) -> None:
    """List the settings in effect, and where each one is set.

    \b
    Examples:
      eicctl config list
      eicctl config list --output json --query "[?Source=='environment']"
    """
    rows = list(_rows())
    ignored = defaults.project_file()
    if ignored and not defaults.is_own(ignored):
        messages.line(f"Ignored: {ignored} (other users can write to it)")
    if not rows and output == "table" and not query:
        messages.line("No settings")
        messages.line("hint: eicctl config set region REGION")
        return
    if output == "table" and not query:
        rows = [
            {**row, "Value": _shown(row["Value"]), "Location": settings.home_relative(str(row["Location"]))}
            for row in rows
        ]
    render.show(rows, output=output, query=query, columns={"Key": "Key", "Value": "Value", "Set in": "Location"})


@command.command()
@_project_option
def edit(*, project: bool) -> None:
    """Open the file in your editor (VISUAL, EDITOR), and check it afterwards.

    \b
    Examples:
      eicctl config edit
      eicctl config edit --project
    """
    path = _file(project=project)
    if not path.exists():
        files.make_parents(path)
        files.write_whole(path, _template(project=project), 0o644 if project else 0o600)
    try:
        click.edit(filename=str(path))
    except click.ClickException as error:
        raise LocalError(f"Cannot edit {path}: {error.message}", hint="export EDITOR=PROGRAM") from error
    settings.read(str(path), project=project)


@command.command()
@_project_option
def path(*, project: bool) -> None:
    """Print the path of the file, whether it exists or not.

    \b
    Examples:
      eicctl config path
      cat "$(eicctl config path --project)"
    """
    click.echo(messages.printable(str(_file(project=project))))


def _file(*, project: bool) -> Path:
    """The user's file; or the project's, which is the nearest one, else one in the current folder."""
    if project:
        return Path(defaults.project_file() or Path.cwd() / defaults.PROJECT_FILE)
    return paths.config_file()


def _rows() -> Iterator[dict[str, object]]:
    """The settings in effect: key, value, source, and where exactly."""
    seen = set()
    for key, variables in _VARIABLES.items():
        if variable := next((name for name in variables if os.environ.get(name)), None):
            seen.add(key)
            yield {"Key": key, "Value": os.environ[variable], "Source": "environment", "Location": variable}
    for layer in defaults.layers():
        source = "project" if "Path" in layer else "user"
        file = str(layer.get("Path") or defaults.user_file())
        text = Path(file).read_text(encoding="utf-8") if Path(file).exists() else ""
        for table, name, value in _settings(layer):
            key = ".".join(part for part in (table, name) if part)
            if key not in seen:
                seen.add(key)
                line = line_of(text, table, name)
                yield {"Key": key, "Value": value, "Source": source, "Location": f"{file}:{line}" if line else file}


def _settings(layer: defaults.Layer) -> Iterator[tuple[str, str, object]]:
    for key, value in layer.items():
        if key == ALIAS:
            yield from ((ALIAS, name, target) for name, target in layer[ALIAS].items())
        elif key == HOST:
            for pattern, section in layer[HOST].items():
                yield from ((f"{HOST}.{pattern}", name, each) for name, each in section.items())
        elif key != "Path":
            yield "", key, value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else _text(value)


def _template(*, project: bool) -> str:
    """A new file: every key as a comment."""
    keys = [f'# {name} = ""  # {key.help}' for name, key in settings.KEYS.items() if key.project or not project]
    sections = ["", "# [alias]", '# db1 = "rds:orders-prod"', "", '# [host."prod-*"]']
    hosts = [f'# {name} = ""  # {key.help}' for name, key in settings.HOST_KEYS.items()]
    return "\n".join([*keys, *sections, *hosts, ""])
