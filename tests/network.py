"""A small network to think about: one VPC, an endpoint and a target in subnets of their own, everything allowed.

`applied` makes a change to facts, as EC2 would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from eicctl.core.model import Endpoint
from eicctl.core.network import (
    AclEntry,
    GroupReference,
    Interface,
    NetworkAcl,
    NetworkFacts,
    Peering,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Subnet,
    Vpc,
)
from eicctl.reachability.connection import Connection, Destination, Finding
from eicctl.reachability.evaluate import evaluate
from eicctl.reachability.remedies import Change

SSH = (22, 22)
ANYWHERE = Rule("-1", cidrs=("0.0.0.0/0", "::/0"))
FROM_ENDPOINT = Rule(ports=SSH, groups=(GroupReference("sg-eice"),))
OPEN = (
    AclEntry(100, True, True),
    AclEntry(101, True, True, cidr="::/0"),
    AclEntry(100, False, True),
    AclEntry(101, False, True, cidr="::/0"),
    AclEntry(32767, True, False),
    AclEntry(32767, False, False),
)

T = TypeVar("T")


def by_id(items: Iterable[T]) -> dict[str, T]:
    return {str(getattr(item, "id")): item for item in items}  # noqa: B009


FACTS = NetworkFacts(
    vpcs=by_id([Vpc("vpc-1", ("10.0.0.0/16", "fd00::/56")), Vpc("vpc-2", ("10.2.0.0/16",))]),
    subnets=by_id(
        [
            Subnet("subnet-eice", "vpc-1", ("10.0.1.0/24", "fd00:0:0:1::/64")),
            Subnet("subnet-target", "vpc-1", ("10.0.2.0/24", "fd00:0:0:2::/64")),
            Subnet("subnet-far", "vpc-2", ("10.2.1.0/24",)),
        ]
    ),
    groups=by_id(
        [
            SecurityGroup("sg-eice", "eice", "vpc-1", egress=(ANYWHERE,)),
            SecurityGroup("sg-target", "target", "vpc-1", ingress=(FROM_ENDPOINT,), egress=(ANYWHERE,)),
            SecurityGroup("sg-far", "far", "vpc-2", ingress=(Rule(ports=SSH, cidrs=("10.0.0.0/16",)),)),
        ]
    ),
    acls=by_id(
        [
            NetworkAcl("acl-eice", "vpc-1", ("subnet-eice",), OPEN),
            NetworkAcl("acl-target", "vpc-1", ("subnet-target",), OPEN),
            NetworkAcl("acl-far", "vpc-2", ("subnet-far",), OPEN),
        ]
    ),
    route_tables=by_id(
        [
            RouteTable("rtb-1", "vpc-1", main=True, routes=(Route("10.0.0.0/16"), Route("fd00::/56"))),
            RouteTable("rtb-2", "vpc-2", main=True, routes=(Route("10.2.0.0/16"),)),
        ]
    ),
    interfaces=by_id([Interface("eni-eice", "vpc-1", "subnet-eice", ("10.0.1.5", "fd00:0:0:1::5"), ("sg-eice",))]),
)

ENDPOINT = Endpoint(
    "eice-1",
    "create-complete",
    "vpc-1",
    "subnet-eice",
    "us-east-1a",
    "e.example.com",
    "us-east-1",
    security_group_ids=("sg-eice",),
    network_interface_ids=("eni-eice",),
)
TARGET = Destination("10.0.2.7", "web", "vpc-1", "subnet-target", ("sg-target",), "t3.micro")
FAR = Destination("10.2.1.7", "far", "vpc-2", "subnet-far", ("sg-far",), "t3.micro")
PEERED = (Route("10.2.0.0/16", "peering", "pcx-1"), Route("10.0.0.0/16", "peering", "pcx-1"))


def peered(**changes: Any) -> NetworkFacts:
    """The network with a peering connection between the VPCs, and routes both ways."""
    tables = by_id(
        [
            RouteTable("rtb-1", "vpc-1", main=True, routes=(Route("10.0.0.0/16"), PEERED[0])),
            RouteTable("rtb-2", "vpc-2", main=True, routes=(Route("10.2.0.0/16"), PEERED[1])),
        ]
    )
    peering = Peering("pcx-1", ("vpc-1", "vpc-2"))
    return replace(FACTS, route_tables=tables, peerings={"pcx-1": replace(peering, **changes)})


def with_group(facts: NetworkFacts, group_id: str, **rules: tuple[Rule, ...]) -> NetworkFacts:
    """The network with other rules in a group."""
    assert facts.groups
    return replace(facts, groups={**facts.groups, group_id: replace(facts.groups[group_id], **rules)})  # type: ignore[arg-type]


def with_acl(facts: NetworkFacts, acl_id: str, *entries: AclEntry) -> NetworkFacts:
    """The network with these entries in an ACL."""
    assert facts.acls
    return replace(facts, acls={**facts.acls, acl_id: replace(facts.acls[acl_id], entries=entries)})


def findings(
    facts: NetworkFacts = FACTS,
    *,
    endpoint: Endpoint = ENDPOINT,
    target: Destination = TARGET,
    port: int = 22,
    client: str | None = None,
) -> dict[str, Finding]:
    """What the evaluation finds, by check."""
    return {found.check: found for found in evaluate(facts, Connection(endpoint, target, port, client))}


def not_ok(found: dict[str, Finding]) -> dict[str, str]:
    """The verdicts that are not ok."""
    return {check: finding.verdict for check, finding in found.items() if finding.verdict != "ok"}


def applied(facts: NetworkFacts, endpoint: Endpoint, change: Change) -> tuple[NetworkFacts, Endpoint]:
    """The network and the endpoint after a change."""
    given = cast("Mapping[str, Any]", change.parameters)
    if change.is_group_rule:
        (permission,) = given["IpPermissions"]
        assert facts.groups
        group = facts.groups[given["GroupId"]]
        rule = Rule(
            ports=(permission["FromPort"], permission["ToPort"]),
            groups=tuple(GroupReference(pair["GroupId"]) for pair in permission.get("UserIdGroupPairs", ())),
            cidrs=tuple(
                cidr for key in ("IpRanges", "Ipv6Ranges") for row in permission.get(key, ()) for cidr in row.values()
            ),
        )
        if "egress" in change.operation:
            return with_group(facts, group.id, egress=(*group.egress, rule)), endpoint
        return with_group(facts, group.id, ingress=(*group.ingress, rule)), endpoint
    if change.operation == "create_network_acl_entry":
        assert facts.acls
        acl = facts.acls[given["NetworkAclId"]]
        taken = [entry.number for entry in acl.entries if entry.egress == given["Egress"]]
        assert 1 <= given["RuleNumber"] <= 32766
        assert given["RuleNumber"] not in taken
        cidr = given.get("CidrBlock") or given["Ipv6CidrBlock"]
        ports = (given["PortRange"]["From"], given["PortRange"]["To"])
        entry = AclEntry(given["RuleNumber"], given["Egress"], True, given["Protocol"], cidr, ports)
        return with_acl(facts, acl.id, *acl.entries, entry), endpoint
    if change.operation == "create_route":
        assert facts.route_tables
        table = facts.route_tables[given["RouteTableId"]]
        cidr = given.get("DestinationCidrBlock") or given["DestinationIpv6CidrBlock"]
        routes = (*table.routes, Route(cidr, "peering", given["VpcPeeringConnectionId"]))
        tables = {**facts.route_tables, table.id: replace(table, routes=routes)}
        return replace(facts, route_tables=tables), endpoint
    assert change.operation == "modify_instance_connect_endpoint"
    kind = given.get("IpAddressType", endpoint.ip_address_type)
    return facts, replace(endpoint, ip_address_type=kind, preserve_client_ip=False)
