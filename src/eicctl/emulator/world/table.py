"""One table of a TOML file: its keys, taken one by one with their types, and errors that say where they are."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from eicctl.core.errors import UsageError
from eicctl.emulator.control.validation import UNWRITABLE

T = TypeVar("T")

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^\s:\[\]]+):(\d{1,5})")
_PORTS = range(1, 65_536)


class Table:
    """A table, and where it stands.

    Args:
        source: What to call the file in errors.
        where: The table's place in the file, as in `vpc[0].instance[2]`; empty for the whole file.
        content: What should be a table.
    """

    def __init__(self, source: str, where: str, content: object) -> None:
        self._source = source
        self._where = where
        if not isinstance(content, dict):
            raise self.wrong("", "must be a table")
        self._left: dict[str, Any] = dict(content)

    def wrong(self, key: str, why: str) -> UsageError:
        """An error about one of the keys."""
        place = ".".join(part for part in (self._where, key) if part) or "it"
        return UsageError(f"{self._source}: {place} {why}", hint="eicctl local world")

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Take a key; without a default it must be there."""
        value = self._left.pop(key, default)
        if any(UNWRITABLE.search(text) for text in _texts(value)):
            raise self.wrong(key, "has characters that no answer of the AWS API could hold")
        if value is None:
            raise self.wrong(key, "is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, f"must be of type {kind.__name__}")
        return value

    def text(self, key: str, default: str | None = None, *, pattern: str = r"\S.*", form: str = "some text") -> str:
        """Take a string that has a form; an empty default needs none."""
        value = self.get(key, str, default)
        if value != default and not re.fullmatch(pattern, value):
            raise self.wrong(key, f"must be {form}, not {value!r}")
        return value

    def strings(self, key: str, *, pattern: str = r".*", form: str = "") -> tuple[str, ...]:
        """Take a list of strings, all of which have a form."""
        values = self.get(key, list, [])
        for value in values:
            if not isinstance(value, str):
                raise self.wrong(key, "must be a list of strings")
            if not re.fullmatch(pattern, value):
                raise self.wrong(key, f"must have {form} only, not {value!r}")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, str]:
        """Take a table of strings."""
        values = self.get(key, dict, {})
        if not all(isinstance(value, str) for value in values.values()):
            raise self.wrong(key, "must map to strings")
        return dict(values)

    def tables(self, key: str) -> list[Table]:
        """Take a list of tables."""
        places = f"{self._where}.{key}" if self._where else key
        return [Table(self._source, f"{places}[{i}]", row) for i, row in enumerate(self.get(key, list, []))]

    def choice(self, key: str, of: Sequence[str], default: str | None = None) -> str:
        """Take one of some words, or the default."""
        value = self.get(key, str, default)
        if value not in of and value != default:
            raise self.wrong(key, f"must be one of {', '.join(of)}, not {value!r}" if of else "names nothing")
        return value

    def number(self, key: str, of: range, default: int) -> int:
        """Take a number from a range."""
        value = self.get(key, int, default)
        if value not in of:
            raise self.wrong(key, f"must be from {of.start} to {of.stop - 1}, not {value}")
        return value

    def port(self, key: str, default: int) -> int:
        """Take a port number."""
        return self.number(key, _PORTS, default)

    def host_port(self, key: str) -> str:
        """Take `HOST:PORT`, or nothing."""
        value = self.get(key, str, "")
        if value and not _is_host_port(value):
            raise self.wrong(key, f"must be HOST:PORT, not {value!r}")
        return value

    def forwards(self, key: str) -> dict[int, str]:
        """Take a table of port numbers to `HOST:PORT`."""
        values = self.mapping(key)
        for port, where in values.items():
            if not port.isdecimal() or int(port) not in _PORTS or not _is_host_port(where):
                raise self.wrong(key, f"must map port numbers to HOST:PORT, not {port!r} to {where!r}")
        return {int(port): where for port, where in values.items()}

    def network(self, key: str, version: int, *, needed: bool = True) -> str:
        """Take a CIDR range of an IP version, or nothing if it is not needed."""
        value = self.get(key, str, None if needed else "")
        if not value and not needed:
            return ""
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            raise self.wrong(key, f"is no CIDR range: {error}") from None
        if network.version != version:
            raise self.wrong(key, f"must be an IPv{version} range, not {value}")
        return str(network)

    def address(self, key: str, version: int, *, needed: bool = True) -> str:
        """Take an address of an IP version, or nothing if it is not needed."""
        value = self.get(key, str, None if needed else "")
        if not value and not needed:
            return ""
        try:
            address = ipaddress.ip_address(value)
        except ValueError as error:
            raise self.wrong(key, f"is no IP address: {error}") from None
        if address.version != version:
            raise self.wrong(key, f"must be an IPv{version} address, not {value}")
        return str(address)

    def done(self) -> None:
        """Refuse what has not been taken."""
        if self._left:
            raise self.wrong(next(iter(self._left)), "is not a key of world files")


def _texts(value: object) -> list[str]:
    """The strings in a value; tables in lists are read by themselves."""
    if isinstance(value, dict):
        return [*map(str, value), *(text for item in value.values() for text in _texts(item))]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return [value] if isinstance(value, str) else []


def _is_host_port(text: str) -> bool:
    found = _HOST_PORT.fullmatch(text)
    return bool(found and int(found[2]) in _PORTS)
