"""Named tunnels as values, and the files that define them: a project's `eicctl.toml`, and the user's `config.toml`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass as value_class
from pathlib import Path
from typing import Any, Literal, Self, cast

from eicctl.core.errors import NotFoundError, UsageError
from eicctl.core.model import DIRECT_PORTS, MAX_TUNNEL_DURATION
from eicctl.core.request import HOST_KEY_CHECKS, ConnectRequest, dataclass
from eicctl.ssh.destination import parse_forward
from eicctl.support import files, paths, pins, settings
from eicctl.support.defaults import alias, in_force, project_file
from eicctl.support.settings import TUNNEL
from eicctl.support.toml_files import read_toml

Kind = Literal["direct", "rdp", "via", "socks", "db"]

KINDS: tuple[Kind, ...] = ("direct", "rdp", "via", "socks", "db")


@dataclass(frozen=True, kw_only=True)
class Definition(ConnectRequest):
    """One named tunnel: what to connect to, and where to listen. Paths are absolute.

    Attributes:
        name: Its name, which is unique among those that are open.
        kind: `direct` (port 22 or 3389 of the target), `rdp` (3389), `via` (any port, through SSH on an instance),
            `socks` (a SOCKS5 proxy, also through SSH), or `db` (an RDS database).
        source: The file that defines it.
        via: The instance that `via` and `socks` go through, and `db` may.
        forward: What `via` forwards, as in `eicctl forward`.
        database: The database of `db`: its identifier or host name.
        reader: Whether `db` uses the cluster's reader endpoint.
        local_port: The local port; 0 for a free one, None for the usual one of the kind if that is free.
        local_socket: A Unix socket instead of a port, for `direct`.
        bind: The address to listen on; empty for loopback.
    """

    name: str = ""
    kind: Kind = "direct"
    source: str = ""
    via: str = ""
    forward: tuple[str, ...] = ()
    database: str = ""
    reader: bool = False
    local_port: int | None = None
    local_socket: str = ""
    bind: str = ""

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        return cls(**{**found, "forward": tuple(found.get("forward", ()))})

    @property
    def remote(self) -> str:
        """Where connections go, as text."""
        other = self.database or ", ".join(self.forward) or "SOCKS5"
        return self.target or self.private_ip_address if self.kind in ("direct", "rdp") else other

    def pinned(self, hint: str | None) -> str:
        """Return a hint whose commands have this tunnel's profile and region; they may run in any shell."""
        return pins.pinned(hint or "", self.profile or "", self.region or "")


_ALL = frozenset(KINDS)
_STRAIGHT: frozenset[Kind] = frozenset({"direct", "rdp"})
_LOGIN: frozenset[Kind] = frozenset({"via", "socks", "db"})


@value_class(frozen=True, slots=True)
class Key:
    """A key of a tunnel's table.

    Attributes:
        kinds: The kinds that have it.
        check: Whether a value is a good one.
        wanted: A description of valid values.
        path: Whether it names a file, which is relative to the folder of the definitions.
    """

    kinds: frozenset[Kind]
    check: Callable[[Any], bool]
    wanted: str
    path: bool = False


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _target(value: object) -> bool:
    """Whether a value names a target; `-`, the last one, would be another one each time."""
    return _text(value) and value != "-"


def _number(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _forwards(value: Any) -> bool:
    try:
        return bool(value) and all(parse_forward(word) for word in ([value] if isinstance(value, str) else value))
    except (UsageError, TypeError):
        return False


KEYS = {
    "kind": Key(_ALL, lambda value: value in KINDS, f"one of {', '.join(KINDS)}"),
    "profile": Key(_ALL, _text, "the name of a profile"),
    "region": Key(_ALL, _text, "a region"),
    "ca_bundle": Key(_ALL, _text, "the path of a file", path=True),
    "target": Key(_STRAIGHT, _target, "an instance ID, a Name tag, a private address or a DNS name"),
    "private_ip_address": Key(_STRAIGHT, _text, "an address or a DNS name"),
    "remote_port": Key(frozenset({"direct"}), lambda value: value in DIRECT_PORTS, "22 or 3389"),
    "via": Key(_LOGIN, _target, "an instance: its ID, Name tag, address or DNS name"),
    "forward": Key(frozenset({"via"}), _forwards, 'arguments of eicctl forward: "15432:db.internal:5432", or a list'),
    "database": Key(frozenset({"db"}), _text, "a database's identifier or host name"),
    "reader": Key(frozenset({"db"}), lambda value: isinstance(value, bool), "true or false"),
    "local_port": Key(_STRAIGHT | {"socks", "db"}, _number(0, 65535), "a port, or 0 for a free one"),
    "local_socket": Key(frozenset({"direct"}), _text, "the path of a Unix socket", path=True),
    "bind": Key(_ALL, _text, "an address of this machine"),
    "os_user": Key(_LOGIN, _text, "the name of an OS user"),
    "private_key_file": Key(_LOGIN, _text, "the path of a private key", path=True),
    "host_key_check": Key(_LOGIN, lambda value: value in HOST_KEY_CHECKS, f"one of {', '.join(HOST_KEY_CHECKS)}"),
    "instance_connect_endpoint_id": Key(_ALL, _text, "the ID of an endpoint"),
    "max_tunnel_duration": Key(_ALL, _number(1, MAX_TUNNEL_DURATION), f"seconds, 1 to {MAX_TUNNEL_DURATION}"),
    "linger": Key(_STRAIGHT, _number(0, MAX_TUNNEL_DURATION), f"seconds, 0 to {MAX_TUNNEL_DURATION}"),
}
"""The keys of a tunnel's table."""

_FIELDS = {"instance_connect_endpoint_id": "endpoint_id"}
"""The attributes of `Definition` for the keys that are called otherwise, as in the AWS CLI."""

NEEDED: dict[Kind, tuple[str, ...]] = {
    "direct": ("remote_port",),
    "rdp": (),
    "via": ("via", "forward"),
    "socks": ("via",),
    "db": ("database",),
}
"""The keys that a kind cannot do without; `direct` and `rdp` need one of `target` and `private_ip_address` too."""


def kind_of(table: dict[str, object]) -> Kind:
    """Return the kind that a table says, or that its keys mean."""
    usual: Kind = "db" if "database" in table else "via" if {"via", "forward"} & table.keys() else "direct"
    return cast("Kind", table.get("kind", usual))


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def find_definitions(file: Path | None = None, folder: Path | None = None) -> list[Definition]:
    """Return the tunnels that are defined.

    Args:
        file: The only file to read; None for the project's and the user's. The project's file is the nearest
            `eicctl.toml` in `folder` or above it; a name that both files have is the project's.
        folder: Where to look from; None for the current folder.

    Raises:
        UsageError: A file is not as it should be; the message names its line and key.
        NotFoundError: The file does not exist, or nothing is defined.
    """
    if file:
        return read_file(file.absolute())
    found = project_file(str(folder) if folder else None)
    own = read_file(Path(found)) if found else []
    names = {definition.name for definition in own}
    users = paths.config_file()
    common = read_file(users) if users.exists() else []
    everything = own + [definition for definition in common if definition.name not in names]
    if not everything:
        raise NotFoundError(
            f"No tunnels defined: no eicctl.toml here or above, and none in {users}",
            hint="eicctl up --help",
        )
    return everything


def is_name(text: str) -> bool:
    """Whether a tunnel may have this name."""
    return _NAME.fullmatch(text) is not None


def choose(definitions: Sequence[Definition], names: Sequence[str]) -> list[Definition]:
    """Return the named ones, or all if no name is given.

    Raises:
        NotFoundError: A name is not defined.
    """
    known = {definition.name: definition for definition in definitions}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise NotFoundError(f"No tunnel named {name!r}", hint=f"{meant}defined: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(definitions)


def with_defaults(definition: Definition, profile: str | None, region: str | None, ca_bundle: str | None) -> Definition:
    """Return a definition with what options, the environment and the files say where it says nothing.

    Args:
        definition: What its file says.
        profile: Profile of a command's option, or None.
        region: Likewise.
        ca_bundle: Likewise, the file of CA certificates.
    """
    target, via, database = alias(definition.target), alias(definition.via), alias(definition.database)
    words = [definition.target, definition.via, definition.database, target, via, database]
    project = definition.source if Path(definition.source) != paths.config_file() else None
    found = in_force(definition.profile or profile, definition.region or region, *words, project=project)
    # A profile that the definition names has a region of its own, which the environment's would hide.
    return definition.replace(
        target=target,
        via=via,
        database=database,
        profile=found.get("profile") or pins.environment_profile(),
        region=found.get("region") or ("" if definition.profile else pins.environment_region()),
        ca_bundle=definition.ca_bundle or (str(Path(ca_bundle).absolute()) if ca_bundle else ""),
        endpoint_id=definition.endpoint_id or found.get("endpoint"),
        os_user=definition.os_user or found.get("os_user"),
    )


def read_file(path: Path) -> list[Definition]:
    """Return the tunnels that one file defines, in its order.

    Raises:
        UsageError: The file is not as it should be.
        NotFoundError: It cannot be read.
    """
    try:
        text, content = read_toml(path)
    except OSError as error:
        raise NotFoundError(f"Cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="the file is TOML: https://toml.io") from error
    return _File(path, text).definitions(content)


class _File:
    """A file with its text, in which the lines of errors are looked up."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def definitions(self, content: dict[str, object]) -> list[Definition]:
        """Return what the file defines."""
        tables = content.get(TUNNEL, {})
        settings.check(str(self._path), self._text, content, project=self._path != paths.config_file())
        common = {key: value for key, value in content.items() if key == "ca_bundle"}
        for key, value in common.items():
            self._check("", common, "before the tables", key, value)
        if not isinstance(tables, dict):
            raise self._wrong("", TUNNEL, "must be tables: [tunnel.NAME]")
        return [self._definition(name, table, common) for name, table in tables.items()]

    def _definition(self, name: str, table: object, common: dict[str, object]) -> Definition:
        header = f"{TUNNEL}.{name}"
        if not isinstance(table, dict):
            raise self._wrong(TUNNEL, name, "must be a table: [tunnel.NAME]")
        if not is_name(name):
            raise self._wrong(header, None, "is not a valid name", "letters, digits, '-', '_' and '.'; 64 at most")
        if "kind" in table:
            self._check(header, KEYS, "in a table", "kind", table["kind"])
        kind = kind_of(table)
        fitting = [key for key, rule in KEYS.items() if kind in rule.kinds]
        for key, value in table.items():
            self._check(header, fitting, f"for kind {kind!r}", key, value)
        needed = [key for key in NEEDED[kind] if key not in table]
        if not needed and kind in ("direct", "rdp") and not {"target", "private_ip_address"} & table.keys():
            needed = ["target"]
        if needed:
            raise self._wrong(
                header, None, f"requires {' and '.join(needed)}", f"{needed[0]}: {KEYS[needed[0]].wanted}"
            )
        if "local_socket" in table and {"local_port", "bind"} & table.keys():
            raise self._wrong(header, "local_socket", "cannot be combined with local_port or bind")
        values = {_FIELDS.get(key, key): self._value(key, value) for key, value in (common | table).items()}
        return Definition(**{**values, "name": name, "kind": kind, "source": str(self._path)})

    def _check(self, table: str, allowed: Collection[str], scope: str, key: str, value: object) -> None:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise self._wrong(table, key, f"is not allowed {scope}", f"{meant}allowed {scope}: {', '.join(allowed)}")
        if not KEYS[key].check(value):
            raise self._wrong(table, key, f"must be {KEYS[key].wanted}, not {value!r}")

    def _value(self, key: str, value: Any) -> Any:
        """Return a value as a definition has it."""
        if key == "forward":
            return (value,) if isinstance(value, str) else tuple(value)
        return str(self._path.parent / files.expanded(value)) if KEYS[key].path else value

    def _wrong(self, table: str, key: str | None, problem: str, hint: str | None = None) -> UsageError:
        return settings.wrong(self._path, self._text, table, key, problem, hint)
