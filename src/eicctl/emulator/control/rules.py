"""Rules of security groups: as world files write them, and what they admit."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from eicctl.emulator.world.specs import AclEntrySpec, RuleSpec

_ENTRY = re.compile(r"(\d{1,5}) (allow|deny) (.+)")
_FORM = re.compile(r"(?:(\d{1,5})(?:-(\d{1,5}))?|all) (\w+) (\S+)")


def parse(text: str, word: str, groups: Collection[str]) -> RuleSpec:
    """Read `PORT[-PORT]|all WORD CIDR|GROUP`.

    Args:
        text: The rule.
        word: `from` for ingress, `to` for egress.
        groups: The names that groups have.

    Raises:
        ValueError: It is not of that form; the message goes after the rule.
    """
    found = _FORM.fullmatch(text)
    if not found or found[3] != word:
        raise ValueError(f"is not of the form 'PORT {word} CIDR|GROUP'")
    first, last = (int(found[1]), int(found[2] or found[1])) if found[1] else (None, None)
    if first is not None and last is not None and not first <= last <= 65_535:
        raise ValueError("has no such ports")
    peer = found[4]
    if peer in groups:
        return RuleSpec(first, last, "", peer)
    try:
        return RuleSpec(first, last, str(ipaddress.ip_network(peer)), "")
    except ValueError:
        raise ValueError("names neither a CIDR range nor a group of the VPC") from None


def parse_entry(text: str, word: str) -> AclEntrySpec:
    """Read `NUMBER allow|deny PORT[-PORT]|all WORD CIDR`, an entry of a network ACL.

    Raises:
        ValueError: It is not of that form; the message goes after the entry.
    """
    found = _ENTRY.fullmatch(text)
    if not found or not 1 <= int(found[1]) <= 32_766:
        raise ValueError(f"is not of the form 'NUMBER allow|deny PORT {word} CIDR'")
    rule = parse(found[3], word, ())
    return AclEntrySpec(int(found[1]), found[2] == "allow", rule.first, rule.last, rule.cidr)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a security group in EC2: TCP ports `first` to `last`, to or from a CIDR or the members of a group."""

    first: int
    last: int
    cidr: str = ""
    group_id: str = ""

    def admits(self, port: int, address: str, groups: Collection[str]) -> bool:
        """Whether the rule admits the port and the peer, which has this address and is in these groups."""
        if not self.first <= port <= self.last:
            return False
        if self.group_id:
            return self.group_id in groups
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.cidr, strict=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection: its address, and the groups that its network interface is in."""

    address: str
    groups: tuple[str, ...]


def why_blocked(
    *, port: int, source: Peer, target: Peer, egress: Iterable[Rule], ingress: Iterable[Rule] | None
) -> str | None:
    """Return what keeps the connection from the target, or None (docs/explanation/protocol.md#security-groups).

    Args:
        port: The target's port.
        source: The endpoint, with the address that the target sees.
        target: The target.
        egress: The rules of the endpoint's groups.
        ingress: The rules of the target's groups; None where it is in no group, and nothing is asked.
    """
    if not any(rule.admits(port, target.address, target.groups) for rule in egress):
        return "no egress rule of the endpoint's security groups admits it"
    if ingress is not None and not any(rule.admits(port, source.address, source.groups) for rule in ingress):
        return "no ingress rule of the target's security groups admits it"
    return None
