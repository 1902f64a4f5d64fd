"""What a connection passes between subnets in EC2: routes, peering connections, and network ACLs both ways."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

_EPHEMERAL = range(32_768, 61_000)
"""The ports from which the endpoint connects: Linux's usual ones. AWS does not document them."""


def subnet_at(ec2: Any, vpc_id: str, address: str) -> Any | None:
    """moto's subnet of a VPC that has an address in its ranges."""
    for subnets in ec2.subnets.values():
        for subnet in subnets.values():
            if subnet.vpc_id == vpc_id and any(_holds(cidr, address) for cidr in _ranges(subnet)):
                return subnet
    return None


def next_vpc(ec2: Any, subnet: Any, address: str) -> str | None:
    """The VPC in which what leaves a subnet for an address arrives: its own or a peer's; None where it gets lost."""
    vpc_id = str(subnet.vpc_id)
    ways: list[tuple[str, str | None]] = [(cidr, vpc_id) for cidr in _vpc_ranges(ec2.get_vpc(vpc_id))]
    ways += [(cidr, _leads_to(r, vpc_id)) for r in _table(ec2, subnet).routes for cidr in _destinations(ec2, r)]
    fitting = [(ipaddress.ip_network(cidr).prefixlen, where) for cidr, where in ways if _holds(cidr, address)]
    return max(fitting, key=lambda way: way[0])[1] if fitting else None


def why_stopped(ec2: Any, source: Any, target: Any, *, seen: str, address: str, port: int) -> str | None:
    """Return which network ACL stops a connection between two subnets, there or back, or None.

    Args:
        ec2: moto's EC2 of the region.
        source: The endpoint's subnet.
        target: The target's subnet.
        seen: The address that the target's side sees: the endpoint's, or the client's where it is preserved.
        address: The target's address.
        port: The target's port.
    """
    if source.id == target.id:
        return None
    back = secrets.choice(_EPHEMERAL)
    for subnet, egress, peer, where in (
        (source, True, address, port),
        (target, False, seen, port),
        (target, True, seen, back),
        (source, False, address, back),
    ):
        acl = _acl(ec2, subnet.id)
        if acl and not _allows(acl.network_acl_entries, egress, peer, where):
            way = "out to" if egress else "in from"
            return f"the network ACL {acl.id} of {subnet.id} does not let port {where} {way} {peer}"
    return None


def prefixes(ec2: Any, list_id: str) -> list[str]:
    """The ranges of a managed prefix list."""
    known = ec2.managed_prefix_lists.get(list_id)
    return [entry["Cidr"] for entry in (known.entries.get(known.version) or [])] if known else []


def _allows(entries: Iterable[Any], egress: bool, peer: str, port: int) -> bool:
    """What the first entry that matches says, by number; nothing matches: no."""
    for entry in sorted(entries, key=lambda entry: int(entry.rule_number)):
        if _is_true(entry.egress) != egress or str(entry.protocol) not in ("-1", "6"):
            continue
        if not _holds(entry.cidr_block or entry.ipv6_cidr_block, peer):
            continue
        every = str(entry.protocol) == "-1" or entry.port_range_from is None
        if every or int(entry.port_range_from) <= port <= int(entry.port_range_to):
            return bool(entry.rule_action == "allow")
    return False


def _acl(ec2: Any, subnet_id: str) -> Any | None:
    for acl in ec2.network_acls.values():
        if any(association.subnet_id == subnet_id for association in acl.associations):
            return acl
    return None


def _table(ec2: Any, subnet: Any) -> Any:
    """The subnet's route table, else its VPC's main one."""
    tables = [table for table in ec2.route_tables.values() if table.vpc_id == subnet.vpc_id]
    named = [table for table in tables if subnet.id in table._associations.values()]
    return (named or [table for table in tables if table.main_association_id])[0]


def _destinations(ec2: Any, route: Any) -> list[str]:
    if route.destination_prefix_list:
        return prefixes(ec2, route.destination_prefix_list.id)
    return [cidr for cidr in (route.destination_cidr_block, route.destination_ipv6_cidr_block) if cidr]


def _leads_to(route: Any, vpc_id: str) -> str | None:
    if route.local:
        return vpc_id
    if not route.vpc_pcx or route.vpc_pcx.status["Code"] != "active":
        return None
    return next((str(vpc.id) for vpc in (route.vpc_pcx.vpc, route.vpc_pcx.peer_vpc) if vpc.id != vpc_id), None)


def _ranges(subnet: Any) -> Iterator[str]:
    if subnet.cidr_block:
        yield str(subnet.cidr_block)
    for row in subnet.ipv6_cidr_block_associations.values():
        if row["ipv6CidrBlockState"]["State"] == "associated":
            yield str(row["ipv6CidrBlock"])


def _vpc_ranges(vpc: Any) -> Iterator[str]:
    for row in (*vpc.cidr_block_association_set, *vpc.ipv6_cidr_block_association_set):
        if row["cidr_block_state"]["state"] == "associated":
            yield str(row["cidr_block"])


def _holds(cidr: str | None, address: str) -> bool:
    return bool(cidr) and ipaddress.ip_address(address) in ipaddress.ip_network(cidr or "", strict=False)


def _is_true(value: object) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"
