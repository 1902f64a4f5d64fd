"""A connection, where its packets come from, and the first rule of a list that decides each part of such traffic."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Literal, TypeVar

from eicctl.core.model import Endpoint, Instance
from eicctl.core.network import ANY_PORT, NetworkFacts, Subnet
from eicctl.reachability.remedies import Change

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
        """What is left of this range without `part`, which overlaps it."""
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


@dataclass(frozen=True, slots=True)
class Piece(Generic[R]):
    """A part of some traffic, and the rule that decides it; None if no rule matches."""

    part: TrafficRange
    rule: R | None


def first_match(traffic: Sequence[TrafficRange], rules: Iterable[tuple[TrafficRange, R]]) -> list[Piece[R]]:
    """Split traffic into parts, each with the first rule that matches it.

    A security group admits what any of its rules admits, a network ACL evaluates its entries in order, and a route
    table takes the longest prefix: all three are the first match in a list, for one address or a range.

    Args:
        traffic: The traffic.
        rules: Rules in the order in which they apply, each with what it matches.
    """
    left = list(traffic)
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


_NOT_PUBLIC = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    "224.0.0.0/3",
)
"""IPv4 ranges that no client of a public service has an address of (RFC 6890)."""


def public() -> tuple[TrafficRange, ...]:
    """Publicly routable IPv4: possible sources when the client's address is unknown."""
    pieces = first_match([traffic_range("0.0.0.0/0")], [(traffic_range(cidr), cidr) for cidr in _NOT_PUBLIC])
    return tuple(piece.part for piece in pieces if piece.rule is None)


Verdict = Literal["ok", "failed", "unknown"]
"""`unknown` where something that decides it could not be read, or is not known outside AWS."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        check: An ID of `evaluate.CHECKS`.
        verdict: The result.
        evidence: What decides it, in one sentence without a full stop.
        change: The smallest change that fixes it, if there is one.
    """

    check: str
    verdict: Verdict
    evidence: str
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """The other end: an address, and what is known of it.

    `security_group_ids` is None if the groups at that address are not known, and empty if there are none.
    `vpc_id` and `subnet_id` are empty if they are not known.
    """

    address: str
    label: str
    vpc_id: str = ""
    subnet_id: str = ""
    security_group_ids: tuple[str, ...] | None = None
    instance_type: str = ""

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address else 4


def instance_at(instance: Instance, address: str = "") -> Destination:
    """Return an instance as a destination, at one of its addresses; by default the IPv4 one if it has one."""
    return Destination(
        address=address or instance.private_ip or instance.ipv6,
        label=instance.name or instance.id,
        vpc_id=instance.vpc_id,
        subnet_id=instance.subnet_id,
        security_group_ids=instance.security_group_ids,
        instance_type=instance.instance_type,
    )


def plain_address(facts: NetworkFacts, address: str, *, prefer_vpc: str = "") -> Destination:
    """Return an address as a destination: what network interface has it, or else what subnet it is in.

    Args:
        facts: The network.
        address: The address.
        prefer_vpc: The VPC to take where several have the address: the endpoint's.
    """
    found = [item for item in (facts.interfaces or {}).values() if address in item.addresses]
    if found:
        one = min(found, key=lambda item: (item.vpc_id != prefer_vpc, item.id))
        return Destination(address, address, one.vpc_id, one.subnet_id, one.security_group_ids)
    subnets = [s for s in (facts.subnets or {}).values() if any(holds(cidr, address) for cidr in s.cidrs)]
    if subnets:
        subnet = min(subnets, key=lambda item: (item.vpc_id != prefer_vpc, item.id))
        return Destination(address, address, subnet.vpc_id, subnet.id)
    return Destination(address, address)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection to think through.

    Attributes:
        endpoint: The endpoint.
        target: The other end.
        port: The TCP port there.
        client_address: The caller's public IPv4 address, which matters with client IP preservation; None if not known.
    """

    endpoint: Endpoint
    target: Destination
    port: int
    client_address: str | None = None

    @property
    def ports(self) -> tuple[int, int]:
        """The destination port as a range."""
        return (self.port, self.port)


@dataclass(frozen=True, slots=True)
class Source:
    """Where packets come from, as rules see it.

    `ranges` has all possible addresses. `cidr` is what a new rule would name; empty if no single range fits.
    """

    label: str
    ranges: tuple[TrafficRange, ...]
    cidr: str = ""

    def at(self, ports: tuple[int, int]) -> list[TrafficRange]:
        """Its addresses with these ports."""
        return [TrafficRange(each.version, each.first, each.last, ports) for each in self.ranges]


def endpoint_source(facts: NetworkFacts, connection: Connection) -> Source:
    """The endpoint as a source: the address of its network interface, or where that is not known its subnet's range."""
    endpoint, version = connection.endpoint, connection.target.version
    for interface_id in endpoint.network_interface_ids:
        interface = (facts.interfaces or {}).get(interface_id)
        for address in interface.addresses if interface else ():
            if traffic_range(address).version == version:
                return Source(f"the endpoint's address {address}", (traffic_range(address),), _single(address))
    subnet = subnet_of(facts, endpoint.subnet_id)
    cidrs = [cidr for cidr in (subnet.cidrs if subnet else ()) if traffic_range(cidr).version == version]
    if not cidrs:
        return Source("the endpoint's address (unknown)", (traffic_range("::/0" if version == 6 else "0.0.0.0/0"),))
    return Source(
        f"the endpoint's subnet {' and '.join(cidrs)}",
        tuple(traffic_range(cidr) for cidr in cidrs),
        cidrs[0] if len(cidrs) == 1 else "",
    )


def client_source(connection: Connection) -> Source:
    """The caller as a source, as the target sees it with client IP preservation."""
    address = connection.client_address
    if address and ":" not in address:
        return Source(f"your address {address}", (traffic_range(address),), _single(address))
    return Source("your public address (unknown)", public())


def target_source(connection: Connection) -> Source:
    """The target as a source: of the packets that go back."""
    target = connection.target
    return Source(f"{target.address}", (traffic_range(target.address),), _single(target.address))


def subnet_of(facts: NetworkFacts, subnet_id: str) -> Subnet | None:
    """The subnet with this ID, if it is known."""
    return (facts.subnets or {}).get(subnet_id)


def not_read(facts: NetworkFacts, operation: str, what: str) -> str:
    """Return why something is not known: `operation` is the call that would show it."""
    reason = facts.unread.get(operation)
    return f"could not read {what}: {reason}" if reason else f"could not read {what}"


def of_verdicts(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict for things that must all be so: the worst one."""
    found = set(verdicts)
    return "failed" if "failed" in found else "unknown" if "unknown" in found else "ok"


def listed(names: Sequence[str]) -> str:
    """Return names as a person lists them: `a, b and c`."""
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def _single(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"
