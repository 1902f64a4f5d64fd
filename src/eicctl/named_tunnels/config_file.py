"""The files that define tunnels: a project's `eicctl.toml`, and the user's `config.toml`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eicctl.core.errors import NotFoundError, UsageError
from eicctl.named_tunnels.definition import Definition, Kind
from eicctl.named_tunnels.keys import DEFAULTS, KEYS, NEEDED, kind_of
from eicctl.named_tunnels.lines import line_of
from eicctl.support import files, settings
from eicctl.support.documents import read_toml

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
    users = settings.config_file()
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
        if self._path != settings.config_file():  # whose other keys are settings
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
