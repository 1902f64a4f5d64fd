"""Does a connection from an endpoint get to a machine? What moto knows of the network between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eicctl.emulator.control import crossing
from eicctl.emulator.control.backends import LOCK, ec2
from eicctl.emulator.control.interfaces import groups_of
from eicctl.emulator.control.rules import Peer, Rule, why_blocked
from eicctl.emulator.state import EndpointRecord, Machine, State

__all__ = ["Rule", "blocked", "machine_at"]

_OLD_TYPES = ("c1", "cg1", "cg2", "g1", "hi1", "m1", "m2", "m3", "t1")


def machine_at(state: State, endpoint: EndpointRecord, address: str) -> Machine | None:
    """Return the machine to which routes lead from the endpoint's subnet: in its VPC, or in one that is peered."""
    with LOCK:
        subnet = ec2(endpoint.region).get_subnet(endpoint.subnet_id)
        vpc_id = crossing.next_vpc(ec2(endpoint.region), subnet, address)
    return state.machine(vpc_id, address) if vpc_id else None


def blocked(endpoint: EndpointRecord, machine: Machine, port: int, client_ip: str) -> str | None:
    """Return why the connection does not get through, for the emulator's log, or None.

    The target sees the endpoint's address, or the client's where its IP is preserved; the membership in the
    endpoint's groups counts in both cases (docs/explanation/protocol.md#security-groups). What network ACLs see of
    a client whose IP is preserved is not documented; here it is the client's address.
    """
    with LOCK:
        groups = _groups_of(machine)
        if groups is None:
            return f"instance {machine.instance_id} is not running"
        here = _address(endpoint, machine)
        if here is None:
            return f"the endpoint {endpoint.id} has no network interface"
        seen = client_ip if endpoint.preserve_client_ip else here
        at_groups = why_blocked(
            port=port,
            source=Peer(seen, endpoint.security_group_ids),
            target=Peer(machine.address, groups),
            egress=_rules(endpoint.region, endpoint.vpc_id, endpoint.security_group_ids, egress=True),
            # A machine in no group is no instance: the world says that something answers there.
            ingress=_rules(machine.region, machine.vpc_id, groups, egress=False) if groups else None,
        )
        return at_groups or _unpreserved(endpoint, machine) or _lost(endpoint, machine, port, seen=seen, here=here)


def _unpreserved(endpoint: EndpointRecord, machine: Machine) -> str | None:
    """What client-IP preservation does not work with (docs/explanation/protocol.md#client-ip-preservation)."""
    if not endpoint.preserve_client_ip:
        return None
    if machine.vpc_id != endpoint.vpc_id:
        return "client-IP preservation works within a VPC only"
    instance = _instance_of(machine)
    if instance and instance.instance_type.partition(".")[0] in _OLD_TYPES:
        return f"client-IP preservation does not work with {instance.instance_type}"
    return None


def _lost(endpoint: EndpointRecord, machine: Machine, port: int, *, seen: str, here: str) -> str | None:
    """What keeps the connection from crossing between the subnets, or its answer from coming back."""
    backend = ec2(endpoint.region)
    source = backend.get_subnet(endpoint.subnet_id)
    target = crossing.subnet_at(backend, machine.vpc_id, machine.address)
    if target is None:
        return None  # The world says that something answers there, in no subnet of EC2.
    if crossing.next_vpc(backend, target, here) != endpoint.vpc_id:
        return f"no route leads back from {target.id}"
    return crossing.why_stopped(backend, source, target, seen=seen, address=machine.address, port=port)


def _instance_of(machine: Machine) -> Any | None:
    return next((each for each in ec2(machine.region).all_instances() if each.id == machine.instance_id), None)


def _groups_of(machine: Machine) -> tuple[str, ...] | None:
    """The groups that a machine is in; None of an instance that is not running."""
    if not machine.instance_id:
        return machine.security_group_ids
    instance = _instance_of(machine)
    # One that boots is pending until somebody asks for its state; that it does not answer yet is not said here.
    if instance is None or instance.state not in ("running", "pending"):
        return None
    return tuple(group.id for group in groups_of(instance.nics[0]))


def _address(endpoint: EndpointRecord, machine: Machine) -> str | None:
    """The endpoint's address of the machine's family."""
    for interface_id in endpoint.network_interface_ids:
        if interface := ec2(endpoint.region).enis.get(interface_id):
            ipv6 = ":" in machine.address and interface.ipv6_addresses
            return str(interface.ipv6_addresses[0] if ipv6 else interface.private_ip_address)
    return None


def _rules(region: str, vpc_id: str, group_ids: Sequence[str], *, egress: bool) -> Iterator[Rule]:
    of_vpc = ec2(region).groups[vpc_id]
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
                for each in crossing.prefixes(ec2(region), rule.prefix_list_id):
                    yield Rule(first, last, cidr=each)
