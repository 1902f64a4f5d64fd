"""The settings of `config.toml` and of a project's `eicctl.toml`: their keys and valid values, and how they are read.

`support.defaults` says which of them count. A project's file may come from somebody else, as in a repository that was
cloned: it can run no program, weaken no check, read no file outside of its folder, and open no port to others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from eicctl.core.errors import UsageError
from eicctl.core.request import HOST_KEY_CHECKS
from eicctl.support import defaults, files, paths
from eicctl.support.defaults import ALIAS, HOST
from eicctl.support.toml_files import line_of, parse_toml, read_toml

if TYPE_CHECKING:
    from eicctl.support.defaults import Layer

TUNNEL = "tunnel"
"""The tables of named tunnels, which `named_tunnels.config_file` reads."""

_FORWARD = re.compile(
    r"(?:(?P<bind>\[[^\]]*\]|[^:\[\]]*):)?(?P<port>\d{1,5}):(?:\[[^\]]+\]|[^:\[\]]+):(?P<remote>\d{1,5})"
)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable() and not value.startswith("-")


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_user(value: Any) -> bool:
    return _is_name(value) and not set(value) & set(" @:/")


def _is_endpoint(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"eice-[0-9a-z]+", value))


def _is_interval(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 3600


def _is_path(value: object) -> bool:
    # Commands run in many folders, and the background process in none of them.
    return isinstance(value, str) and (value.startswith("~") or Path(value).is_absolute())


def _is_file(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _are_forwards(value: object) -> bool:
    words = [value] if isinstance(value, str) else value
    return isinstance(words, list) and bool(words) and all(map(_is_forward, words))


def _is_forward(word: object) -> bool:
    match = _FORWARD.fullmatch(word) if isinstance(word, str) else None
    return match is not None and all(1 <= int(match[name]) <= 65535 for name in ("port", "remote"))


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a file.

    Attributes:
        check: Whether a value is a good one.
        wanted: A description of valid values.
        help: What it does.
        project: Whether a project's file may have it.
        values: The good values, if they are few; for completion.
    """

    check: Callable[[object], bool]
    wanted: str
    help: str
    project: bool = False
    values: tuple[str, ...] = ()

    def parsed(self, words: tuple[str, ...]) -> object:
        """Return the value that words of a command line mean; a text where they mean nothing else."""
        text = words[0]
        if self.check is _is_bool:
            return {"true": True, "false": False}.get(text.lower(), text)
        if self.check is _is_interval:
            try:
                return float(text) if "." in text else int(text)
            except ValueError:
                return text
        return list(words) if len(words) > 1 else text


_BOOLEAN = ("true", "false")
_PROFILE = Key(_is_name, "the name of a profile", "AWS profile", project=True)
_REGION = Key(_is_name, "a region", "AWS region", project=True)
_ENDPOINT = Key(_is_endpoint, "the ID of an endpoint (eice-…)", "endpoint to use", project=True)
_USER = Key(_is_user, "the name of an OS user", "OS user to log in as", project=True)

KEYS = {
    "profile": _PROFILE,
    "region": _REGION,
    "endpoint": _ENDPOINT,
    "os_user": _USER,
    "host_key_check": Key(
        lambda value: value in HOST_KEY_CHECKS,
        f"one of {', '.join(HOST_KEY_CHECKS)}",
        "how host keys are checked",
        values=HOST_KEY_CHECKS,
    ),
    "diagnose": Key(_is_bool, "true or false", "print likely causes of failures", values=_BOOLEAN),
    "agent": Key(_is_bool, "true or false", "start a background process that speeds up commands", values=_BOOLEAN),
    "log_file": Key(_is_path, "an absolute path, or one that begins with ~", "log of every command"),
    "allow_other_users": Key(_is_bool, "true or false", "allow other users to connect to local ports", values=_BOOLEAN),
    "spare": Key(_is_bool, "true or false", "keep a TLS connection ready for the next tunnel", values=_BOOLEAN),
    "keepalive": Key(_is_interval, "seconds, 0 to 3600", "idle seconds before a tunnel is pinged"),
}
"""The keys above the tables."""

HOST_KEYS = {
    "profile": _PROFILE,
    "region": _REGION,
    "endpoint": _ENDPOINT,
    "os_user": _USER,
    "private_key_file": Key(_is_file, "the path of a private key", "private key to log in with", project=True),
    "keep": Key(_is_bool, "true or false", "ssh --keep", project=True, values=_BOOLEAN),
    "forward": Key(
        _are_forwards, 'PORT:HOST:PORT as in ssh -L, or a list: ["8080:localhost:80"]', "ssh -L", project=True
    ),
}
"""The keys of `[host."PATTERN"]`."""


def read(path: str, *, project: bool) -> Layer:
    """Return what a file says, without its named tunnels. Its own paths are absolute.

    Args:
        path: The file.
        project: Whether it is a project's; then the result has its `Path`.

    Raises:
        UsageError: It has something that it should not have; the message names the line.
    """
    try:
        text, content = read_toml(Path(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", hint="the file is TOML: https://toml.io") from error
    return check(path, text, content, project=project)


def check(path: str, text: str, content: dict[str, object], *, project: bool) -> Layer:
    """Return what a file says; see `read`.

    Args:
        path: The file.
        text: Its text, for the lines of errors.
        content: The text, parsed.
        project: Whether it is a project's.

    Raises:
        UsageError: It has something that it should not have.
    """
    file = _File(path, text, project=project)
    found: dict[str, object] = {"Path": path} if project else {}
    for key, value in content.items():
        if key == TUNNEL or (project and key == "ca_bundle"):  # of named tunnels
            continue
        if key == ALIAS:
            found[key] = file.aliases(value)
        elif key == HOST:
            found[key] = file.hosts(value)
        else:
            found[key] = file.checked("", key, value, KEYS)
    return cast("Layer", found)


def store(tables: tuple[str, ...], name: str, value: object, *, project: Path | None = None) -> None:
    """Set a key of a file, which keeps its comments and its order.

    Args:
        tables: The tables that the key is in.
        name: The key.
        value: Its value.
        project: A project's file; None for the user's.

    Raises:
        UsageError: The file is not as it should be, or would not be.
        LocalError: It cannot be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = project or paths.config_file()
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
        at: Any = document
        for number, table in enumerate(tables, 1):
            at = at.setdefault(table, tomlkit.table(is_super_table=number < len(tables)))
        at[name] = value
    except (TOMLKitError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}", hint="eicctl config edit") from error
    text = tomlkit.dumps(document)
    check(str(path), text, parse_toml(text), project=bool(project))
    files.make_parents(path)
    files.write_whole(path, text, 0o644 if project else 0o600)


def home_relative(path: str) -> str:
    """Return a path with `~` for the home folder, for people."""
    home = os.path.expanduser("~/")  # noqa: PTH111 - without a home it stays
    return f"~/{path[len(home) :]}" if path.startswith(home) else path


def wrong(  # noqa: PLR0917 - a place in a file, and what is wrong there
    path: str | Path, text: str, table: str, key: str | None, problem: str, hint: str | None = None
) -> UsageError:
    """Return the error about a key of a file, with its line.

    Args:
        path: The file.
        text: Its text.
        table: The table's dotted name; empty above the tables.
        key: The key, or None for the table.
        problem: What is wrong, after the key.
        hint: What to do.
    """
    line = line_of(text, table, key)
    place = f"{path}:{line}" if line else str(path)
    what = ".".join(part for part in (table, key) if part)
    return UsageError(f"{place}: {what} {problem}", hint=hint)


def known_keys(keys: Mapping[str, object], key: str) -> str:
    """Return a hint for an unknown key: the near one, and all."""
    import difflib

    near = difflib.get_close_matches(key, keys, n=1) or [name for name in keys if name.endswith(f"_{key}")]
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}keys: {', '.join(keys)}"


class _File:
    def __init__(self, path: str, text: str, *, project: bool) -> None:
        self._path = path
        self._text = text
        self._project = project

    def checked(self, table: str, key: str, value: Any, keys: Mapping[str, Key]) -> Any:
        """Return the value of a key, as commands take it."""
        known = keys.get(key)
        if known is None:
            tables = {} if table else dict.fromkeys((f"{ALIAS}.NAME", f'{HOST}."PATTERN"', f"{TUNNEL}.NAME"))
            raise self._wrong(table, key, "is not a known key", known_keys({**keys, **tables}, key))
        if self._project and not known.project:
            raise self._wrong(table, key, "cannot be set by a project", f"set it in {defaults.user_file()}")
        if not known.check(value):
            raise self._wrong(table, key, f"must be {known.wanted}, not {value!r}")
        if key == "private_key_file":
            return self._key_file(table, value)
        if key == "forward":
            return self._forwards(table, [value] if isinstance(value, str) else value)
        return value

    def aliases(self, table: object) -> dict[str, str]:
        """Return the aliases."""
        if not isinstance(table, dict):
            raise self._wrong("", ALIAS, 'must be a table: [alias] db1 = "rds:orders"')
        for name, target in table.items():
            if not _is_name(name) or not _is_name(target):
                raise self._wrong(ALIAS, name, f"must be the name of a target, not {target!r}")
        return dict(table)

    def hosts(self, tables: object) -> dict[str, dict[str, object]]:
        """Return the sections of hosts, in their order."""
        if not isinstance(tables, dict):
            raise self._wrong("", HOST, 'must be tables: [host."web-*"]')
        found = {}
        for pattern, table in tables.items():
            if not isinstance(table, dict):
                raise self._wrong(HOST, pattern, 'must be a table: [host."web-*"]')
            where = f"{HOST}.{pattern}"
            found[pattern] = {key: self.checked(where, key, value, HOST_KEYS) for key, value in table.items()}
        return found

    def _key_file(self, table: str, value: str) -> str:
        folder = Path(self._path).parent.resolve()
        path = folder / files.expanded(value)
        if self._project and not path.resolve().is_relative_to(folder):
            raise self._wrong(table, "private_key_file", f"must be in the project's folder {folder}, not {value!r}")
        return str(path)

    def _forwards(self, table: str, words: list[str]) -> list[str]:
        for word in words:
            match = _FORWARD.fullmatch(word)
            if self._project and match and match["bind"] not in (None, "localhost", "127.0.0.1", "[::1]"):
                raise self._wrong(table, "forward", f"must listen on loopback in a project's file, not {word!r}")
        return words

    def _wrong(self, table: str, key: str | None, problem: str, hint: str | None = None) -> UsageError:
        return wrong(self._path, self._text, table, key, problem, hint)
