"""Names of instances for ssh_config(5): `NAME[.PROFILE][.REGION].eic`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

SUFFIX = ".eic"

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class HostName:
    """The parts of a host name. Profile and region are None if the name has none."""

    target: str
    profile: str | None = None
    region: str | None = None


def parse(name: str, profiles: Collection[str]) -> HostName | None:
    """Parse a host name; None if it does not end with `.eic`.

    Args:
        name: The name.
        profiles: The existing profiles. Instance names have dots, too, so only an existing profile counts as one.
    """
    rest = name.removesuffix(SUFFIX)
    if rest == name or not rest:
        return None
    profile = region = None
    head, _, last = rest.rpartition(".")
    if head and _REGION.fullmatch(last):
        rest, region = head, last
    for candidate in sorted(profiles, key=len, reverse=True):
        if rest.endswith(f".{candidate}") and len(rest) > len(candidate) + 1:
            rest, profile = rest[: -len(candidate) - 1], candidate
            break
    return HostName(rest, profile, region)


def host_name(target: str, profile: str | None = None, region: str | None = None) -> str | None:
    """Return the host name, or None if a part has a character that is special in ssh_config or in a shell."""
    parts = [part for part in (target, profile, region) if part]
    return ".".join(parts) + SUFFIX if all(_PLAIN.fullmatch(part) for part in parts) else None
