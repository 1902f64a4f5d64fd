"""What decides whether packets get from one address to another, as EC2 describes it. No I/O, no types of botocore.

`aws/network.py` fills these; `reachability/` evaluates them. What could not be read is None, never empty: "there is no
rule" and "nobody knows" are different answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

ANY_PORT = (0, 65_535)
"""All TCP ports."""

V = TypeVar("V")
Known = Mapping[str, V] | None
"""Things by their IDs; None if they could not be read."""


@dataclass(frozen=True, slots=True)
class GroupReference:
    """A security group that a rule names. `vpc_id` is empty if EC2 does not say: then it is the rule's own VPC.

    `peering_id` and `peering_status` are of the peering connection that leads to it, in another VPC.
    """

    id: str
    vpc_id: str = ""
    account_id: str = ""
    peering_id: str = ""
    peering_status: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a security group.

    `protocol` is `tcp`, `udp`, `icmp`, `icmpv6`, a protocol's number, or `-1` for all. `ports` are the first and the
    last one; for ICMP they are type and code. `cidrs` are of both address families.
    """

    protocol: str = "tcp"
    ports: tuple[int, int] = ANY_PORT
    cidrs: tuple[str, ...] = ()
    groups: tuple[GroupReference, ...] = ()
    prefix_list_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group with its rules."""

    id: str
    name: str = ""
    vpc_id: str = ""
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()

    @property
    def label(self) -> str:
        """Its ID, with its name if it has one."""
        return f"{self.id} ({self.name})" if self.name else self.id


@dataclass(frozen=True, slots=True)
class PrefixList:
    """A prefix list. `cidrs` is None if its entries could not be read."""

    id: str
    name: str = ""
    cidrs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class AclEntry:
    """An entry of a network ACL; the one with the lowest number that matches decides.

    `protocol` is a number, or `-1` for all. `ports` are those of the destination, in either direction.
    """

    number: int
    egress: bool
    allow: bool
    protocol: str = "-1"
    cidr: str = "0.0.0.0/0"
    ports: tuple[int, int] = ANY_PORT


@dataclass(frozen=True, slots=True)
class NetworkAcl:
    """A network ACL and the subnets that it guards."""

    id: str
    vpc_id: str = ""
    subnet_ids: tuple[str, ...] = ()
    entries: tuple[AclEntry, ...] = ()


RouteKind = Literal["local", "peering", "transit-gateway", "other"]


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `destination` is a CIDR range or the ID of a prefix list; `via` is the ID of what it leads to."""

    destination: str
    kind: RouteKind = "local"
    via: str = "local"
    blackhole: bool = False


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table, with the subnets that name it. The main one is for all others of its VPC."""

    id: str
    vpc_id: str = ""
    subnet_ids: tuple[str, ...] = ()
    main: bool = False
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet; `cidrs` are of both families."""

    id: str
    vpc_id: str
    cidrs: tuple[str, ...]
    availability_zone: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Vpc:
    """A VPC; `cidrs` are of both families, with the ranges that were added later."""

    id: str
    cidrs: tuple[str, ...]
    name: str = ""
    account_id: str = ""


@dataclass(frozen=True, slots=True)
class Peering:
    """A peering connection. Rules may name groups across it only in the `same_region`."""

    id: str
    vpc_ids: tuple[str, str]
    status: str = "active"
    same_region: bool = True


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface, with its addresses of both families."""

    id: str
    vpc_id: str
    subnet_id: str
    addresses: tuple[str, ...]
    security_group_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """The network of one region of an account. `unread` names the reads that failed, each with the reason."""

    vpcs: Known[Vpc] = field(default_factory=dict)
    subnets: Known[Subnet] = field(default_factory=dict)
    groups: Known[SecurityGroup] = field(default_factory=dict)
    prefix_lists: Known[PrefixList] = field(default_factory=dict)
    acls: Known[NetworkAcl] = field(default_factory=dict)
    route_tables: Known[RouteTable] = field(default_factory=dict)
    peerings: Known[Peering] = field(default_factory=dict)
    interfaces: Known[Interface] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    def acl_of(self, subnet_id: str) -> NetworkAcl | None:
        """The network ACL that guards a subnet, if it is known."""
        return next((acl for acl in (self.acls or {}).values() if subnet_id in acl.subnet_ids), None)

    def route_table_of(self, subnet: Subnet) -> RouteTable | None:
        """The route table of a subnet, if it is known: its own, else the VPC's main one."""
        tables = [table for table in (self.route_tables or {}).values() if table.vpc_id == subnet.vpc_id]
        own = [table for table in tables if subnet.id in table.subnet_ids]
        return next(iter(own or [table for table in tables if table.main]), None)
