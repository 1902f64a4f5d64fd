"""Do the security groups let a connection from the endpoint to a machine through? What moto knows of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eicctl.emulator.control.backends import LOCK, ec2
from eicctl.emulator.control.interfaces import groups_of
from eicctl.emulator.control.rules import Peer, Rule, why_blocked
from eicctl.emulator.state import EndpointRecord, Machine

__all__ = ["Rule", "blocked"]


def blocked(endpoint: EndpointRecord, machine: Machine, port: int, client_ip: str) -> str | None:
    """Return why the connection does not get through, for the emulator's log, or None.

    The target sees the endpoint's address, or the client's where its IP is preserved; the membership in the
    endpoint's groups counts in both cases (eice-facts.md, Security groups).
    """
    with LOCK:
        groups = _groups_of(machine)
        if groups is None:
            return f"instance {machine.instance_id} is not running"
        seen = client_ip if endpoint.preserve_client_ip else _address(endpoint, machine)
        if seen is None:
            return f"the endpoint {endpoint.id} has no network interface"
        return why_blocked(
            port=port,
            source=Peer(seen, endpoint.security_group_ids),
            target=Peer(machine.address, groups),
            egress=_rules(endpoint, endpoint.security_group_ids, egress=True),
            # A machine in no group is no instance: the world says that something answers there.
            ingress=_rules(endpoint, groups, egress=False) if groups else None,
        )


def _groups_of(machine: Machine) -> tuple[str, ...] | None:
    """The groups that a machine is in; None of an instance that is not running."""
    if not machine.instance_id:
        return machine.security_group_ids
    for instance in ec2(machine.region).all_instances():
        # One that boots is pending until somebody asks for its state; that it does not answer yet is not said here.
        if instance.id == machine.instance_id and instance.state in ("running", "pending"):
            return tuple(group.id for group in groups_of(instance.nics[0]))
    return None


def _address(endpoint: EndpointRecord, machine: Machine) -> str | None:
    """The endpoint's address of the machine's family."""
    for interface_id in endpoint.network_interface_ids:
        if interface := ec2(endpoint.region).enis.get(interface_id):
            ipv6 = ":" in machine.address and interface.ipv6_addresses
            return str(interface.ipv6_addresses[0] if ipv6 else interface.private_ip_address)
    return None


def _rules(endpoint: EndpointRecord, group_ids: Sequence[str], *, egress: bool) -> Iterator[Rule]:
    of_vpc = ec2(endpoint.region).groups[endpoint.vpc_id]
    for group in filter(None, map(of_vpc.get, group_ids)):
        for rule in group.egress_rules if egress else group.ingress_rules:
            if rule.ip_protocol not in ("tcp", "6", "-1"):
                continue
            first, last = (0, 65_535) if rule.ip_protocol == "-1" else (int(rule.from_port), int(rule.to_port))
            if cidr := rule.cidr_ipv4 or rule.cidr_ipv6:
                yield Rule(first, last, cidr=cidr)
            elif peer := (rule.source_group or {}).get("GroupId"):
                yield Rule(first, last, group_id=peer)
