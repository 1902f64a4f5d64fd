"""Whether routes, network ACLs and security groups allow a connection from an endpoint to a machine.

Also network interfaces that AWS services keep in a subnet, and deletions that EC2 refuses while something is in use.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from eicctl.emulator.control.backends import ACCOUNT, LOCK, Action, ApiError, ec2
from eicctl.emulator.state import EndpointRecord, Machine, State


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


def group_blocking(
    *, port: int, source: Peer, target: Peer, egress: Iterable[Rule], ingress: Iterable[Rule] | None
) -> str | None:
    """Return what blocks the connection, or None (docs/explanation/protocol.md#security-groups).

    Args:
        port: The target's port.
        source: The endpoint, with the address that the target sees.
        target: The target.
        egress: The rules of the endpoint's groups.
        ingress: The rules of the target's groups; None if it has none, and all is allowed.
    """
    if not any(rule.admits(port, target.address, target.groups) for rule in egress):
        return "the endpoint's security groups have no outbound rule for it"
    if ingress is not None and not any(rule.admits(port, source.address, source.groups) for rule in ingress):
        return "the target's security groups have no inbound rule for it"
    return None


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
    """The VPC that a packet from a subnet to an address reaches: its own or a peer's; None without a route."""
    vpc_id = str(subnet.vpc_id)
    routes: list[tuple[str, str | None]] = [(cidr, vpc_id) for cidr in _vpc_ranges(ec2.get_vpc(vpc_id))]
    routes += [(cidr, _leads_to(r, vpc_id)) for r in _table(ec2, subnet).routes for cidr in _destinations(ec2, r)]
    fitting = [(ipaddress.ip_network(cidr).prefixlen, where) for cidr, where in routes if _holds(cidr, address)]
    return max(fitting, key=lambda row: row[0])[1] if fitting else None


def acl_blocking(ec2: Any, source: Any, target: Any, *, seen: str, address: str, port: int) -> str | None:
    """Return which network ACL blocks a connection between two subnets, in either direction, or None.

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
            direction = "to" if egress else "from"
            return f"network ACL {acl.id} of {subnet.id} denies TCP port {where} {direction} {peer}"
    return None


def prefixes(ec2: Any, list_id: str) -> list[str]:
    """The ranges of a managed prefix list."""
    known = ec2.managed_prefix_lists.get(list_id)
    return [entry["Cidr"] for entry in (known.entries.get(known.version) or [])] if known else []


def _allows(entries: Iterable[Any], egress: bool, peer: str, port: int) -> bool:
    """Whether the first matching entry, by number, allows it."""
    for entry in sorted(entries, key=lambda entry: int(entry.rule_number)):
        if (str(entry.egress).lower() == "true") != egress or str(entry.protocol) not in ("-1", "6"):
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


_OLD_TYPES = ("c1", "cg1", "cg2", "g1", "hi1", "m1", "m2", "m3", "t1")
"""Families of instance types without client IP preservation."""


def machine_at(state: State, endpoint: EndpointRecord, address: str) -> Machine | None:
    """Return the machine to which routes lead from the endpoint's subnet: in its VPC, or in one that is peered."""
    with LOCK:
        backend = ec2(endpoint.region, endpoint.owner_id)
        vpc_id = next_vpc(backend, backend.get_subnet(endpoint.subnet_id), address)
    return state.machine(vpc_id, address) if vpc_id else None


def blocked(endpoint: EndpointRecord, machine: Machine, port: int, client_ip: str) -> str | None:
    """Return why the connection is blocked, for the emulator's log, or None.

    The target sees the endpoint's address, or the client's where its IP is preserved; the membership in the
    endpoint's groups counts in both cases (docs/explanation/protocol.md#security-groups). What network ACLs see of
    a client whose IP is preserved is not documented; the emulator uses the client's address.
    """
    with LOCK:
        groups = _groups_of(machine)
        if groups is None:
            return f"instance {machine.instance_id} is not running"
        own_address = _address(endpoint, machine)
        if own_address is None:
            return f"the endpoint {endpoint.id} has no network interface"
        seen = client_ip if endpoint.preserve_client_ip else own_address
        return (
            group_blocking(
                port=port,
                source=Peer(seen, endpoint.security_group_ids),
                target=Peer(machine.address, groups),
                egress=_rules(_own(endpoint), endpoint.vpc_id, endpoint.security_group_ids, egress=True),
                # A machine without groups is not an instance: the world file declares that it answers.
                ingress=_rules(_own(machine), machine.vpc_id, groups, egress=False) if groups else None,
            )
            or _preservation_problem(endpoint, machine)
            or _route_problem(endpoint, machine, port, seen=seen, own_address=own_address)
        )


def _preservation_problem(endpoint: EndpointRecord, machine: Machine) -> str | None:
    """What client IP preservation does not work with (docs/explanation/protocol.md#client-ip-preservation)."""
    if not endpoint.preserve_client_ip:
        return None
    if machine.vpc_id != endpoint.vpc_id:
        return "client IP preservation works within a VPC only"
    instance = _instance_of(machine)
    if instance and instance.instance_type.partition(".")[0] in _OLD_TYPES:
        return f"client IP preservation does not work with {instance.instance_type}"
    return None


def _route_problem(endpoint: EndpointRecord, machine: Machine, port: int, *, seen: str, own_address: str) -> str | None:
    """What blocks the connection between the subnets, in either direction."""
    backend = _own(endpoint)
    source = backend.get_subnet(endpoint.subnet_id)
    target = subnet_at(backend, machine.vpc_id, machine.address)
    if target is None:
        return None  # The world file declares a machine outside EC2's subnets.
    if next_vpc(backend, target, own_address) != endpoint.vpc_id:
        return f"{target.id} has no return route"
    return acl_blocking(backend, source, target, seen=seen, address=machine.address, port=port)


def _instance_of(machine: Machine) -> Any | None:
    return next((each for each in _own(machine).all_instances() if each.id == machine.instance_id), None)


def _groups_of(machine: Machine) -> tuple[str, ...] | None:
    """The groups that a machine is in; None of an instance that is not running."""
    if not machine.instance_id:
        return machine.security_group_ids
    instance = _instance_of(machine)
    # A booting instance is pending until its state is read; that it does not answer yet is checked elsewhere.
    if instance is None or instance.state not in ("running", "pending"):
        return None
    return tuple(group.id for group in groups_of(instance.nics[0]))


def _address(endpoint: EndpointRecord, machine: Machine) -> str | None:
    """The endpoint's address of the machine's family."""
    for interface_id in endpoint.network_interface_ids:
        if interface := _own(endpoint).enis.get(interface_id):
            ipv6 = ":" in machine.address and interface.ipv6_addresses
            return str(interface.ipv6_addresses[0] if ipv6 else interface.private_ip_address)
    return None


def _own(resource: EndpointRecord | Machine) -> Any:
    """moto's EC2 of a resource's region and account."""
    account = resource.owner_id if isinstance(resource, EndpointRecord) else resource.account
    return ec2(resource.region, account or ACCOUNT)


def _rules(ec2: Any, vpc_id: str, group_ids: Sequence[str], *, egress: bool) -> Iterator[Rule]:
    of_vpc = ec2.groups[vpc_id]
    for group in filter(None, map(of_vpc.get, group_ids)):
        for rule in group.egress_rules if egress else group.ingress_rules:
            if rule.ip_protocol not in ("tcp", "6", "-1"):
                continue
            first, last = (0, 65_535) if rule.ip_protocol == "-1" else (int(rule.from_port), int(rule.to_port))
            if cidr := rule.cidr_ipv4 or rule.cidr_ipv6:
                yield Rule(first, last, cidr=cidr)
            elif peer := (rule.source_group or {}).get("GroupId"):
                yield Rule(first, last, group_id=peer)
            elif rule.prefix_list_id:
                for each in prefixes(ec2, rule.prefix_list_id):
                    yield Rule(first, last, cidr=each)


# Network interfaces


def create_interface(
    ec2: Any,
    subnet: Any,
    group_ids: Sequence[str],
    description: str,
    *,
    kind: str = "interface",
    address: str = "",
    ipv6: bool = False,
) -> Any:
    """Return a new one, at an address of the subnet or at the next free one.

    Args:
        ec2: moto's EC2 of the region.
        subnet: moto's subnet.
        group_ids: Security groups.
        description: What the service writes on it.
        kind: The `InterfaceType`.
        address: The private address.
        ipv6: Whether it has an IPv6 address too, if the subnet has a range for it.

    Raises:
        ApiError: No address is free.
    """
    owner = object()  # moto requires an owner of an address, and ignores it
    if address:
        subnet.request_ip(address, owner)
    else:
        address = _free_address(subnet, owner)
    interface = ec2.create_network_interface(
        subnet, address, group_ids=list(group_ids), description=description, ipv6_address_count=int(ipv6)
    )
    interface.requester_managed = True
    interface.interface_type = kind
    interface.status = "in-use"
    return interface


def regroup_interface(ec2: Any, interface_id: str, group_ids: Sequence[str]) -> None:
    """Put it into these security groups instead of those that it is in."""
    ec2.modify_network_interface_attribute(interface_id, list(group_ids))


def release_interface(ec2: Any, interface_id: str) -> None:
    """Delete it, if it exists, and release its address."""
    if interface := ec2.enis.pop(interface_id, None):
        interface.subnet.del_subnet_ip(interface.private_ip_address)


def groups_of(interface: Any) -> list[Any]:
    """The security groups that any interface is in; moto adds those that an instance's had before."""
    of_instance = interface.instance.security_groups if interface.instance else []
    return list(of_instance or interface.group_set)


def _free_address(subnet: Any, owner: object) -> str:
    try:
        return str(subnet.get_available_subnet_ip(owner))
    except (StopIteration, RuntimeError):
        raise ApiError("InsufficientFreeAddressesInSubnet", f"The subnet {subnet.id} has no free address.") from None


def delete_group(moto: Action, response: Any) -> Any:
    """DeleteSecurityGroup, unless a network interface is in the group, or a rule of another group names it."""
    ec2, group_id, name = response.ec2_backend, response._get_param("GroupId"), response._get_param("GroupName")
    for groups in ec2.groups.values():
        for group in groups.values():
            if group_id == group.id or (name and name == group.name):
                _check_group(ec2, group, [other for other in groups.values() if other is not group])
    return moto(response)


def _check_group(ec2: Any, group: Any, others: Iterable[Any]) -> None:
    in_use = any(group in groups_of(interface) for interface in _live_interfaces(ec2)) or any(
        rule.source_group and rule.source_group.get("GroupId") == group.id
        for other in others
        for rule in (*other.ingress_rules, *other.egress_rules)
    )
    if in_use:
        raise _has_dependents(group.id)


def delete_subnet(moto: Action, response: Any) -> Any:
    """DeleteSubnet, unless a network interface is in it."""
    subnet_id = response._get_param("SubnetId")
    if any(interface.subnet.id == subnet_id for interface in _live_interfaces(response.ec2_backend)):
        raise _has_dependents(subnet_id)
    return moto(response)


def delete_interface(moto: Action, response: Any) -> Any:
    """DeleteNetworkInterface, unless an AWS service manages it."""
    interface_id = response._get_param("NetworkInterfaceId")
    interface = response.ec2_backend.enis.get(interface_id)
    if interface and interface.requester_managed:
        raise ApiError("InvalidNetworkInterface.InUse", f"Interface: [{interface_id}] in use.")  # the code is inferred
    return moto(response)


def _live_interfaces(ec2: Any) -> list[Any]:
    # moto keeps the interfaces of terminated instances.
    return [eni for eni in ec2.enis.values() if not (eni.instance and eni.instance.state == "terminated")]


def _has_dependents(resource_id: str) -> ApiError:
    return ApiError("DependencyViolation", f"resource {resource_id} has a dependent object")
