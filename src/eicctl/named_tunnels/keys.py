"""The keys that a named tunnel's table may have: of which kinds, and with what values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eicctl.core.errors import UsageError
from eicctl.core.model import DIRECT_PORTS, MAX_TUNNEL_DURATION
from eicctl.named_tunnels.definition import KINDS, Kind
from eicctl.ssh.forward.spec import parse_forward
from eicctl.ssh.host_keys import CHECKS

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
