"""Sets of (address, port), and which of a list of rules decides each part of such a set.

A security group admits what any of its rules admits, a network ACL asks its entries in order, and a route table takes
the longest prefix: all three are "the first rule of a list that matches", asked about one address, or about a range
where the exact one is not known.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from eicctl.core.network import ANY_PORT

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class TrafficRange:
    """Addresses of one family from `first` to `last`, as numbers, with the ports `ports[0]` to `ports[1]`."""

    version: int
    first: int
    last: int
    ports: tuple[int, int] = ANY_PORT

    def overlap(self, other: TrafficRange) -> TrafficRange | None:
        """What both have in common, or None."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        low, high = max(self.ports[0], other.ports[0]), min(self.ports[1], other.ports[1])
        if self.version != other.version or first > last or low > high:
            return None
        return TrafficRange(self.version, first, last, (low, high))

    def without(self, part: TrafficRange) -> list[TrafficRange]:
        """What is left when `part`, an overlap with this box, is taken away."""
        left = []
        if self.first < part.first:
            left.append(TrafficRange(self.version, self.first, part.first - 1, self.ports))
        if part.last < self.last:
            left.append(TrafficRange(self.version, part.last + 1, self.last, self.ports))
        if self.ports[0] < part.ports[0]:
            left.append(TrafficRange(self.version, part.first, part.last, (self.ports[0], part.ports[0] - 1)))
        if part.ports[1] < self.ports[1]:
            left.append(TrafficRange(self.version, part.first, part.last, (part.ports[1] + 1, self.ports[1])))
        return left


@lru_cache(maxsize=65_536)
def _range_of(cidr: str) -> tuple[int, int, int]:
    network = ipaddress.ip_network(cidr, strict=False)
    return network.version, int(network.network_address), int(network.broadcast_address)


def traffic_range(cidr: str, ports: tuple[int, int] = ANY_PORT) -> TrafficRange:
    """Return the traffic of a CIDR range, or of a single address, and ports."""
    return TrafficRange(*_range_of(cidr), ports)


@lru_cache(maxsize=65_536)
def prefix_length(cidr: str) -> int:
    """The length of a range's prefix in bits."""
    return ipaddress.ip_network(cidr, strict=False).prefixlen


def holds(cidr: str, address: str) -> bool:
    """Whether an address is in a range."""
    return traffic_range(cidr).overlap(traffic_range(address)) is not None


PRIVATE = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
)
"""IPv4 ranges that no client of a public service has for an address (RFC 6890)."""


def public() -> tuple[TrafficRange, ...]:
    """Publicly routable IPv4: possible sources when the client's address is unknown."""
    left = [traffic_range("0.0.0.0/0")]
    for cidr in (*PRIVATE, "224.0.0.0/3"):
        left = [rest for whole in left for rest in _minus(whole, traffic_range(cidr))]
    return tuple(left)


def _minus(whole: TrafficRange, other: TrafficRange) -> list[TrafficRange]:
    part = whole.overlap(other)
    return whole.without(part) if part else [whole]


@dataclass(frozen=True, slots=True)
class Piece(Generic[R]):
    """A part of what was asked for, and the rule that decides it; None where no rule matches."""

    part: TrafficRange
    rule: R | None


def first_match(asked: Sequence[TrafficRange], rules: Iterable[tuple[TrafficRange, R]]) -> list[Piece[R]]:
    """Cut what is asked for into parts, each with the first rule that matches it.

    Args:
        asked: What is asked for.
        rules: Rules in the order in which they are asked, each with what it matches.
    """
    left = list(asked)
    pieces: list[Piece[R]] = []
    for matches, rule in rules:
        rest: list[TrafficRange] = []
        for whole in left:
            if part := whole.overlap(matches):
                pieces.append(Piece(part, rule))
                rest += whole.without(part)
            else:
                rest.append(whole)
        left = rest
        if not left:
            break
    return pieces + [Piece(whole, None) for whole in left]
