"""Parameter types that complete from what this machine knows: the cache of names and IDs, AWS's configuration, and the
named tunnels. AWS is asked nothing, and nothing is started.

Every command imports this module; a completion imports the rest when it needs it.
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


class Known(click.ParamType):  # type: ignore[type-arg]  # generic since Click 8.4
    """A text, completed by values that are known.

    Args:
        source: Yields values, each with a description, for a profile and a region.
        login: Whether `USER@` may stand before the value.
        open_ended: Whether more of the word follows the value, so that the shell adds no space.
        files: Whether a file of this machine may be given as well.
    """

    name = "text"

    def __init__(self, source: Source, *, login: bool = False, open_ended: bool = False, files: bool = False) -> None:
        self._source = source
        self._login = login
        self._type = "nospace" if open_ended else "plain"
        self._files = files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the known values that begin with the word so far. A value that begins with a dash is left out: it
        would be taken for an option."""
        from click.shell_completion import CompletionItem

        from eicctl.aws import completion_cache

        user, at, word = incomplete.rpartition("@") if self._login else ("", "", incomplete)
        profile = _given(ctx, "profile")
        found = [
            CompletionItem(user + at + value, self._type, what)
            for value, what in self._source(profile, completion_cache.region_of(profile, _given(ctx, "region")))
            if value.startswith(word) and value[:1] != "-"
        ]
        return [*found, CompletionItem(incomplete, "file")] if self._files else found


def _given(ctx: click.Context, name: str) -> str | None:
    """The value of an option on the line, of the command or of those above it."""
    at: click.Context | None = ctx
    while at:
        if isinstance(value := at.params.get(name), str):
            return value
        at = at.parent
    return None


def _instances(profile: str | None, region: str) -> Values:
    """Names first: they are typed more often."""
    from eicctl.aws import completion_cache

    found = completion_cache.recall(completion_cache.INSTANCES, profile, region)
    names: dict[str, str] = {}
    for key, name in found.items():
        if name:
            names[name] = f"{len([n for n in found.values() if n == name])} instances" if name in names else key
    yield from sorted(names.items())
    yield from found.items()


def _instance_ids(profile: str | None, region: str) -> Values:
    from eicctl.aws import completion_cache

    yield from completion_cache.recall(completion_cache.INSTANCES, profile, region).items()


def _copies(profile: str | None, region: str) -> Values:
    return ((f"{value}:", what) for value, what in _instances(profile, region))


def _hosts(profile: str | None, region: str) -> Values:
    """The names of ssh_config, too."""
    for value, what in _instances(profile, region):
        yield value, what
        if _PLAIN.issuperset(value) and value[:1] not in "._-":
            yield f"{value}.eic", what


def _endpoint_ids(profile: str | None, region: str) -> Values:
    from eicctl.aws import completion_cache

    yield from completion_cache.recall(completion_cache.ENDPOINTS, profile, region).items()


def _endpoints(profile: str | None, region: str) -> Values:
    for key, name in _endpoint_ids(profile, region):
        yield key, name
        if name:
            yield name, key


def _databases(profile: str | None, region: str) -> Values:
    from eicctl.aws import completion_cache

    found = completion_cache.recall(completion_cache.DATABASES, profile, region)
    yield from ((key, "database") for key in found)
    yield from ((f"rds:{key}", "database") for key in found)


def _profiles(_profile: str | None, _region: str) -> Values:
    from eicctl.aws import completion_cache

    return (
        (name, "profile") for name in completion_cache.sections() if not name.startswith(("sso-session ", "services "))
    )


def _regions(_profile: str | None, _region: str) -> Values:
    from eicctl.aws import completion_cache

    yield from completion_cache.regions().items()


def tunnels(_profile: str | None, _region: str) -> Values:
    """Yield the named tunnels of the project, and the open ones."""
    seen: set[str] = set()
    for name, what in (*_defined(), *_open()):
        if name not in seen:
            seen.add(name)
            yield name, what


def _defined() -> Values:
    """Those of the nearest eicctl.toml here or above."""
    from pathlib import Path

    from eicctl.support.documents import read_toml

    here = Path.cwd()
    file = next((path for folder in (here, *here.parents) if (path := folder / "eicctl.toml").is_file()), None)
    try:
        content = read_toml(file)[1] if file else {}
    except (OSError, ValueError):
        return
    if isinstance(found := content.get("tunnel"), dict):
        for name, table in found.items():
            target = table.get("target") if isinstance(table, dict) else None
            yield name, target if isinstance(target, str) else "tunnel"


def _open() -> Values:
    """Those that a background process holds, as its record says."""
    from pathlib import Path

    from eicctl.agent.environment import PREFIX, usual_folder
    from eicctl.support import jsonstore

    folder = usual_folder(os.environ)
    for record in Path(folder).glob(f"{PREFIX}*.json") if folder else ():
        try:
            rows = jsonstore.read(record)["Tunnels"]
            yield from [(str(row["name"]), "open") for row in rows]
        except (KeyError, TypeError):
            continue


INSTANCE = Known(_instances)
"""An instance by its Name tag or ID."""

INSTANCE_ID = Known(_instance_ids)
"""An instance by its ID."""

LOGIN = Known(_instances, login=True)
"""`[USER@]INSTANCE`."""

COPY = Known(_copies, login=True, open_ended=True, files=True)
"""`[USER@]INSTANCE:PATH`, or a file of this machine."""

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
"""A file or folder, which is not looked at."""
