"""Named tunnels as values, and the files that define them: a project's `eicctl.toml`, and the user's `config.toml`.

The keys that a named tunnel's table may have: of which kinds, and with what values.

Where a key stands in a TOML file: `tomllib` tells what a file says, but not in which line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from eicctl.core.errors import NotFoundError, UsageError
from eicctl.core.model import DIRECT_PORTS, MAX_TUNNEL_DURATION
from eicctl.ssh.arguments import parse_forward
from eicctl.ssh.host_keys import CHECKS
from eicctl.support import files, paths
from eicctl.support.documents import read_toml

Kind = Literal["direct", "rdp", "via", "socks", "db"]

KINDS: tuple[Kind, ...] = ("direct", "rdp", "via", "socks", "db")


@dataclass(frozen=True, slots=True)
class Definition:
    """One named tunnel. Paths are absolute; an empty text or None stands for what is not said.

    Attributes:
        name: Its name, which is unique among those that are open.
        kind: `direct` (port 22 or 3389 of the target), `rdp` (3389), `via` (any port, through SSH on an instance),
            `socks` (a SOCKS5 proxy, the same way), or `db` (a database of RDS).
        source: The file that defines it.
        profile: Profile in the AWS configuration.
        region: AWS region.
        ca_bundle: CA certificates to trust (PEM).
        target: The target of `direct` and `rdp`, in the words of the command line.
        private_ip_address: An address or DNS name in its place.
        remote_port: The port of a `direct` target.
        via: The instance that `via` and `socks` go through, and `db` may.
        forward: What `via` forwards, in the words of `eicctl forward`.
        database: The database of `db`: its identifier or host name.
        reader: Whether `db` takes the cluster's reader endpoint.
        local_port: The local port; 0 for a free one, None for the usual one of the kind if that is free.
        local_socket: A Unix socket in its place, for `direct`.
        bind: The address to listen on; empty for loopback.
        os_user: Whom to log in as.
        private_key_file: A private key of the user's own.
        host_key_check: How host keys are checked.
        instance_connect_endpoint_id: The endpoint to use.
        max_tunnel_duration: Longest life of a tunnel, in seconds (1 to 3600).
        linger: Longest silence of a `direct` or `rdp` target after a client's EOF, in seconds.
    """

    name: str
    kind: Kind
    source: str = ""
    profile: str = ""
    region: str = ""
    ca_bundle: str = ""
    target: str = ""
    private_ip_address: str = ""
    remote_port: int = 0
    via: str = ""
    forward: tuple[str, ...] = ()
    database: str = ""
    reader: bool = False
    local_port: int | None = None
    local_socket: str = ""
    bind: str = ""
    os_user: str = ""
    private_key_file: str = ""
    host_key_check: str = ""
    instance_connect_endpoint_id: str = ""
    max_tunnel_duration: int | None = None
    linger: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object; what is not said is left out."""
        empty = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in asdict(self).items() if value != empty.get(key)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Definition:
        """Return what `to_json` was made from.

        Raises:
            TypeError: It is no such object.
        """
        return cls(**{**found, "forward": tuple(found.get("forward", ()))})


_ALL = frozenset(KINDS)
_STRAIGHT: frozenset[Kind] = frozenset({"direct", "rdp"})
_LOGIN: frozenset[Kind] = frozenset({"via", "socks", "db"})


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a tunnel's table.

    Attributes:
        kinds: The kinds that have it.
        check: Whether a value is a good one.
        wanted: What a good value is, in words.
        path: Whether it names a file, which is relative to the folder of the definitions.
    """

    kinds: frozenset[Kind]
    check: Callable[[Any], bool]
    wanted: str
    path: bool = False


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _number(least: int, most: int) -> Callable[[Any], bool]:
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
    "target": Key(_STRAIGHT, _text, "an instance ID, a Name tag, a private address or a DNS name"),
    "private_ip_address": Key(_STRAIGHT, _text, "an address or a DNS name"),
    "remote_port": Key(frozenset({"direct"}), lambda value: value in DIRECT_PORTS, "22 or 3389"),
    "via": Key(_LOGIN, _text, "an instance: its ID, Name tag, address or DNS name"),
    "forward": Key(frozenset({"via"}), _forwards, 'words of the command forward: "15432:db.internal:5432", or a list'),
    "database": Key(frozenset({"db"}), _text, "a database's identifier or host name"),
    "reader": Key(frozenset({"db"}), lambda value: isinstance(value, bool), "true or false"),
    "local_port": Key(_STRAIGHT | {"socks", "db"}, _number(0, 65535), "a port, or 0 for a free one"),
    "local_socket": Key(frozenset({"direct"}), _text, "the path of a Unix socket", path=True),
    "bind": Key(_ALL, _text, "an address of this machine"),
    "os_user": Key(_LOGIN, _text, "the name of an OS user"),
    "private_key_file": Key(_LOGIN, _text, "the path of a private key", path=True),
    "host_key_check": Key(_LOGIN, lambda value: value in CHECKS, f"one of {', '.join(CHECKS)}"),
    "instance_connect_endpoint_id": Key(_ALL, _text, "the ID of an endpoint"),
    "max_tunnel_duration": Key(_ALL, _number(1, MAX_TUNNEL_DURATION), f"seconds, 1 to {MAX_TUNNEL_DURATION}"),
    "linger": Key(_STRAIGHT, _number(0, MAX_TUNNEL_DURATION), f"seconds, 0 to {MAX_TUNNEL_DURATION}"),
}
"""The keys of a tunnel's table."""

DEFAULTS = ("profile", "region", "ca_bundle")
"""The keys that a project's file may have before its tables, for all of them."""

NEEDED: dict[Kind, tuple[str, ...]] = {
    "direct": ("remote_port",),
    "rdp": (),
    "via": ("via", "forward"),
    "socks": ("via",),
    "db": ("database",),
}
"""The keys that a kind cannot do without; `direct` and `rdp` need one of `target` and `private_ip_address` too."""


def kind_of(table: dict[str, Any]) -> Kind:
    """Return the kind that a table says, or that its keys mean."""
    if "kind" in table:
        said: Kind = table["kind"]
        return said
    if "database" in table:
        return "db"
    return "via" if "via" in table or "forward" in table else "direct"


_QUOTES = str.maketrans("", "", "\"'")


def line_of(text: str, table: str, key: str | None = None) -> int | None:
    """Return the number (from 1) of the line that has a key of a table, or of the table's header.

    Args:
        text: A valid TOML document.
        table: The table's dotted name (`tunnel.db`); empty for what stands before all tables.
        key: The key; None for the header.

    Returns:
        None where it is written in another way than one key a line below its table's header.
    """
    inside = not table
    header: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        name, bracket, rest = line.strip().removeprefix("[").partition("]")
        if line.lstrip().startswith("[") and bracket and rest.strip()[:1] in ("", "#") and "[" not in name:
            inside = _plain(name) == table
            if inside:
                header = number
        elif inside and key and _plain(line.partition("=")[0]) == key:
            return number
    return header


def _plain(name: str) -> str:
    """A key without the quotes and spaces that TOML allows around its parts."""
    return ".".join(part.strip().translate(_QUOTES) for part in name.split("."))


PROJECT_FILE = "eicctl.toml"

TABLE = "tunnel"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def find_definitions(file: Path | None = None, folder: Path | None = None) -> list[Definition]:
    """Return the tunnels that are defined.

    Args:
        file: The only file to read; None for the project's and the user's. The project's file is the nearest
            `eicctl.toml` in `folder` or above it; a name that both files have is the project's.
        folder: Where to look from; None for the current folder.

    Raises:
        UsageError: A file is not as it should be; the message names its line and key.
        NotFoundError: There is no such file, or nothing is defined at all.
    """
    if file:
        return read_file(file.absolute())
    found = project_file(folder or Path.cwd())
    own = read_file(found) if found else []
    names = {definition.name for definition in own}
    users = paths.config_file()
    common = read_file(users) if users.exists() else []
    everything = own + [definition for definition in common if definition.name not in names]
    if not everything:
        raise NotFoundError(
            f"no tunnel is defined: there is no {PROJECT_FILE} here or above, and none in {users}",
            hint="eicctl up --help",
        )
    return everything


def is_name(text: str) -> bool:
    """Whether a tunnel may have this name."""
    return _NAME.fullmatch(text) is not None


def project_file(folder: Path) -> Path | None:
    """Return the nearest file of a project, in a folder or above it."""
    return next((path for up in (folder, *folder.parents) if (path := up / PROJECT_FILE).is_file()), None)


def choose(definitions: Sequence[Definition], names: Sequence[str]) -> list[Definition]:
    """Return the named ones, or all where no name is given.

    Raises:
        NotFoundError: A name is not defined.
    """
    known = {definition.name: definition for definition in definitions}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise NotFoundError(f"no tunnel is called {name!r}", hint=f"{meant}defined: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(definitions)


def read_file(path: Path) -> list[Definition]:
    """Return the tunnels that one file defines, in its order.

    Raises:
        UsageError: The file is not as it should be.
        NotFoundError: It cannot be read.
    """
    try:
        text, content = read_toml(path)
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="the file is TOML: https://toml.io") from error
    return _File(path, text).definitions(content)


class _File:
    """A file with its text, in which the lines of errors are looked up."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def definitions(self, content: dict[str, Any]) -> list[Definition]:
        """Return what the file defines."""
        tables = content.pop(TABLE, {})
        defaults: dict[str, Any] = {}
        if self._path != paths.config_file():  # whose other keys are settings
            for key, value in content.items():
                self._check_default(key, value)
            defaults = content
        if not isinstance(tables, dict):
            raise self._wrong("", TABLE, "must be tables: [tunnel.NAME]")
        return [self._definition(name, table, defaults) for name, table in tables.items()]

    def _check_default(self, key: str, value: Any) -> None:
        if key not in DEFAULTS:
            raise self._wrong("", key, "is not known here", f"before the tables: {', '.join(DEFAULTS)}")
        if not KEYS[key].check(value):
            raise self._wrong("", key, f"must be {KEYS[key].wanted}, not {value!r}")

    def _definition(self, name: str, table: Any, defaults: dict[str, Any]) -> Definition:
        where = f"{TABLE}.{name}"
        if not isinstance(table, dict):
            raise self._wrong(TABLE, name, "must be a table: [tunnel.NAME]")
        if not is_name(name):
            raise self._wrong(where, None, "is no name", "letters, digits, '-', '_' and '.'; 64 at most")
        if "kind" in table and not KEYS["kind"].check(table["kind"]):
            raise self._wrong(where, "kind", f"must be {KEYS['kind'].wanted}, not {table['kind']!r}")
        kind = kind_of(table)
        for key, value in table.items():
            self._check(where, kind, key, value)
        self._check_whole(where, kind, table)
        said = {key: self._settled(key, value) for key, value in (defaults | table).items()}
        return Definition(**{**said, "name": name, "kind": kind, "source": str(self._path)})

    def _check(self, where: str, kind: Kind, key: str, value: Any) -> None:
        known = KEYS.get(key)
        if known is None or kind not in known.kinds:
            fitting = [name for name, rule in KEYS.items() if kind in rule.kinds]
            near = difflib.get_close_matches(key, fitting, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            problem = f"does not go with kind {kind!r}" if known else "is not known"
            raise self._wrong(where, key, problem, f"{meant}keys of kind {kind!r}: {', '.join(fitting)}")
        if not known.check(value):
            raise self._wrong(where, key, f"must be {known.wanted}, not {value!r}")

    def _check_whole(self, where: str, kind: Kind, table: dict[str, Any]) -> None:
        missing = [key for key in NEEDED[kind] if key not in table]
        if missing:
            raise self._wrong(where, None, f"has no {' and no '.join(missing)}", f"{missing[0]}: {_wanted(missing[0])}")
        if kind in ("direct", "rdp") and not {"target", "private_ip_address"} & table.keys():
            raise self._wrong(where, None, "has no target", f"target: {_wanted('target')}")
        if "local_socket" in table and {"local_port", "bind"} & table.keys():
            raise self._wrong(where, "local_socket", "goes with neither local_port nor bind")

    def _settled(self, key: str, value: Any) -> Any:
        """A value as a definition holds it."""
        if key == "forward":
            return (value,) if isinstance(value, str) else tuple(value)
        if KEYS[key].path:
            return str(self._path.parent / files.expanded(value))
        return value

    def _wrong(self, table: str, key: str | None, problem: str, hint: str | None = None) -> UsageError:
        line = line_of(self._text, table, key)
        place = f"{self._path}:{line}" if line else str(self._path)
        what = ".".join(part for part in (table, key) if part)
        return UsageError(f"{place}: {what} {problem}", hint=hint)


def _wanted(key: str) -> str:
    return KEYS[key].wanted
