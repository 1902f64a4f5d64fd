"""Do the security groups let a connection from the endpoint to a machine through?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eicctl.emulator.control.backends import ec2
from eicctl.emulator.state import EndpointRecord, Machine


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a security group: TCP ports `first` to `last` to or from a CIDR, or the members of a group."""

    first: int
    last: int
    cidr: str = ""
    group_id: str = ""

    def admits(self, port: int, address: str, groups: Iterable[str]) -> bool:
        """Whether the rule admits the port and the peer, which has this address and is in these groups."""
        if not self.first <= port <= self.last:
            return False
        if self.group_id:
            return self.group_id in groups
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.cidr)


def blocked(endpoint: EndpointRecord, machine: Machine, port: int, client_ip: str) -> str | None:
    """Return why the connection does not get through, for the emulator's log, or None.

    The endpoint's groups need egress to the target, the target's groups ingress from the endpoint's groups or, by
    CIDR, from the endpoint's address, or from the client's where its IP is preserved (eice-facts.md, Security groups).
    """
    backend = ec2(endpoint.region)
    groups = _groups_of(machine)
    if groups is None:
        return f"instance {machine.instance_id} is not running"
    if not any(
        rule.admits(port, machine.address, groups) for rule in _rules(endpoint, endpoint.security_group_ids, True)
    ):
        return "no egress rule of the endpoint's security groups admits it"
    if not groups:
        return None  # not an instance: the world says that something answers there
    source = client_ip
    if not endpoint.preserve_client_ip:
        source = str(backend.enis[endpoint.network_interface_ids[0]].private_ip_address)
    if not any(rule.admits(port, source, endpoint.security_group_ids) for rule in _rules(endpoint, groups, False)):
        return "no ingress rule of the target's security groups admits it"
    return None


def _groups_of(machine: Machine) -> list[str] | None:
    """The groups that a machine is in; None of an instance that is not running."""
    if not machine.instance_id:
        return list(machine.security_group_ids)
    for instance in ec2(machine.region).all_instances():
        if instance.id == machine.instance_id:
            return [group.id for group in instance.security_groups] if instance.state == "running" else None
    return None


def _rules(endpoint: EndpointRecord, group_ids: Sequence[str], egress: bool) -> Iterable[Rule]:
    of_vpc = ec2(endpoint.region).groups[endpoint.vpc_id]
    for group_id in group_ids:
        group = of_vpc.get(group_id)
        if group is None:
            continue
        for rule in group.egress_rules if egress else group.ingress_rules:
            if rule.ip_protocol not in ("tcp", "-1"):
                continue
            first, last = (0, 65535) if rule.ip_protocol == "-1" else (rule.from_port, rule.to_port)
            if cidr := rule.cidr_ipv4 or rule.cidr_ipv6:
                yield Rule(first, last, cidr=cidr)
            elif peer := rule.source_group.get("GroupId"):
                yield Rule(first, last, group_id=peer)
