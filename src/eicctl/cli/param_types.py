"""Parameter types with completion from local data: the cache of names and IDs, the AWS configuration, and the named
tunnels. Completion calls no AWS API and starts no process.

Every command imports this module; the data sources are imported only for a completion.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Values = Iterator[tuple[str, str]]
    Source = Callable[[str | None, str], Values]

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Integer(click.IntRange):
    """A whole number within limits, called an integer in errors, not an `integer range`."""

    name = "integer"


class Number(click.FloatRange):
    """A number within limits."""

    name = "number"


class _Port(Integer):
    def get_metavar(self, *_: Any, **_context: Any) -> str:
        return "PORT"


PORT = _Port(1, 65535)
"""A TCP port."""

LOCAL_PORT = _Port(0, 65535)
"""A TCP port to listen on; 0 means any free one."""


class Known(click.ParamType):  # type: ignore[type-arg]  # generic since Click 8.4
    """A text, completed from known values.

    Args:
        source: Yields values, each with a description, for a profile and a region.
        login: Whether the value may have the prefix `USER@`.
        open_ended: Whether the word continues after the value, so that the shell adds no space.
        files: Whether a local file is valid as well.
    """

    name = "text"

    def __init__(self, source: Source, *, login: bool = False, open_ended: bool = False, files: bool = False) -> None:
        self._source = source
        self._login = login
        self._type = "nospace" if open_ended else "plain"
        self._files = files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the known values with the prefix `incomplete`, but none that begins with a dash: it would be parsed as
        an option."""
        from click.shell_completion import CompletionItem

        from eicctl.aws.config_files import region_of

        user, at, word = incomplete.rpartition("@") if self._login else ("", "", incomplete)
        profile, region = _in_force(_given(ctx, "profile"), _given(ctx, "region"))
        found = [
            CompletionItem(user + at + value, self._type, what)
            for value, what in self._source(profile, region_of(profile, region))
            if value.startswith(word) and value[:1] != "-"
        ]
        return [*found, CompletionItem(incomplete, "file")] if self._files else found


def _given(ctx: click.Context, name: str) -> str | None:
    """The value of an option of the command, or of its parents."""
    at: click.Context | None = ctx
    while at:
        if isinstance(value := at.params.get(name), str):
            return value
        at = at.parent
    return None


def _in_force(profile: str | None, region: str | None) -> tuple[str | None, str | None]:
    """The profile and region of a command with these options."""
    from eicctl.core.errors import EicctlError
    from eicctl.support import defaults

    try:
        found = defaults.in_force(profile, region)
    except EicctlError:
        return profile, region
    return found.get("profile") or profile, found.get("region") or region


def _aliases() -> Values:
    from eicctl.core.errors import EicctlError
    from eicctl.support import defaults

    try:
        layers = defaults.layers()
    except EicctlError:
        return
    for layer in layers:
        yield from layer.get(defaults.ALIAS, {}).items()


def _recall(kind: str, profile: str | None, region: str) -> dict[str, str]:
    from eicctl.aws.caches import known_names

    return known_names(kind, profile, region)


def _instances(profile: str | None, region: str) -> Values:
    """Names first: they are typed more often."""
    from eicctl.core.names import natural_key

    yield from _aliases()
    found = _recall("instances", profile, region)
    names: dict[str, list[str]] = {}
    for key, name in found.items():
        if name:
            names.setdefault(name, []).append(key)
    for name in sorted(names, key=natural_key):
        yield name, names[name][0] if len(names[name]) == 1 else f"{len(names[name])} instances"
    yield from found.items()


def _instance_ids(profile: str | None, region: str) -> Values:
    yield from _recall("instances", profile, region).items()


def _copies(profile: str | None, region: str) -> Values:
    return ((f"{value}:", what) for value, what in _instances(profile, region))


def _hosts(profile: str | None, region: str) -> Values:
    """Instances, also by their names in ssh_config."""
    for value, what in _instances(profile, region):
        yield value, what
        if _PLAIN.issuperset(value) and value[:1] not in "._-":
            yield f"{value}.eic", what


def _endpoint_ids(profile: str | None, region: str) -> Values:
    yield from _recall("endpoints", profile, region).items()


def _endpoints(profile: str | None, region: str) -> Values:
    for key, name in _endpoint_ids(profile, region):
        yield key, name
        if name:
            yield name, key


def _databases(profile: str | None, region: str) -> Values:
    yield from _aliases()
    for prefix in ("", "rds:"):
        yield from ((prefix + key, "database") for key in _recall("databases", profile, region))


def _profiles(_profile: str | None, _region: str) -> Values:
    from eicctl.aws.config_files import sections

    return ((name, "profile") for name in sections() if not name.startswith(("sso-session ", "services ")))


def _regions(_profile: str | None, _region: str) -> Values:
    from eicctl.aws.caches import known_regions

    yield from known_regions().items()


def tunnels(_profile: str | None, _region: str) -> Values:
    """Yield the named tunnels that the project defines, and the open ones."""
    seen: set[str] = set()
    for name, what in (*_defined(), *_open()):
        if name not in seen:
            seen.add(name)
            yield name, what


def _defined() -> Values:
    """The tunnels in the nearest eicctl.toml, in this folder or above."""
    from pathlib import Path

    from eicctl.support.defaults import project_file
    from eicctl.support.toml_files import read_toml

    file = project_file()
    try:
        content = read_toml(Path(file))[1] if file else {}
    except (OSError, ValueError):
        return
    if isinstance(found := content.get("tunnel"), dict):
        for name, table in found.items():
            target = table.get("target") if isinstance(table, dict) else None
            yield name, target if isinstance(target, str) else "tunnel"


def _open() -> Values:
    """The tunnels of the background processes, from their state files."""
    from pathlib import Path

    from eicctl.agent.paths import PREFIX, usual_folder
    from eicctl.support import jsonstore

    folder = usual_folder(os.environ)
    for record in Path(folder).glob(f"{PREFIX}*.json") if folder else ():
        if isinstance(rows := jsonstore.read(record).get("Tunnels"), list):
            yield from [(str(row["name"]), "open") for row in rows if isinstance(row, dict) and "name" in row]


INSTANCE = Known(_instances)
"""An instance by its Name tag or ID."""

INSTANCE_ID = Known(_instance_ids)
"""An instance by its ID."""

LOGIN = Known(_instances, login=True)
"""`[USER@]INSTANCE`."""

COPY = Known(_copies, login=True, open_ended=True, files=True)
"""`[USER@]INSTANCE:PATH`, or a local file."""

FORWARD = Known(_copies, open_ended=True)
"""`INSTANCE:PORT`."""

HOST = Known(_hosts)
"""An instance, also as `NAME.eic`."""

ENDPOINT = Known(_endpoints)
"""An endpoint by its ID or Name tag."""

ENDPOINT_ID = Known(_endpoint_ids)
"""An endpoint by its ID."""

DATABASE = Known(_databases)
"""A database by its identifier, also as `rds:IDENTIFIER`."""

PROFILE = Known(_profiles)
"""A profile of the AWS configuration."""

REGION = Known(_regions)
"""An AWS region."""

TUNNEL = Known(tunnels)
"""A named tunnel: one of the project's, or an open one."""

FILE = click.Path(readable=False)
"""A file or folder; its existence is not checked."""
