"""What is asked (a connection) and what is answered (findings)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from eicctl.core.model import Endpoint, Instance
from eicctl.core.network import NetworkFacts, Subnet
from eicctl.reachability.ranges import TrafficRange, holds, public, traffic_range
from eicctl.reachability.remedies import Change

Verdict = Literal["ok", "failed", "unknown"]
"""`unknown` where something that decides it could not be read, or is not known outside AWS."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one check.

    Attributes:
        check: Which one: an ID of `reachability.CHECKS`.
        verdict: The answer.
        evidence: What decides it, in one sentence without a full stop.
        change: The smallest change that fixes it, where there is one.
    """

    check: str
    verdict: Verdict
    evidence: str
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """The other end: an address, and what is known of it.

    `security_group_ids` is None where the groups at that address are not known, and empty where there are none.
    `vpc_id` and `subnet_id` are empty where they are not known.
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

    `boxes` has all that they may be. `cidr` is what a new rule would name; empty where there is no such range.
    """

    label: str
    boxes: tuple[TrafficRange, ...]
    cidr: str = ""

    def at(self, ports: tuple[int, int]) -> list[TrafficRange]:
        """Its addresses with these ports."""
        return [TrafficRange(each.version, each.first, each.last, ports) for each in self.boxes]


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
    """Return why something is not known: `operation` is the read that would tell."""
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
