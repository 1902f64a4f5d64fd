"""What guards and enters a world's subnets: network ACLs and endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eicctl.emulator.control.endpoints import CreateRequest, EndpointService
from eicctl.emulator.state import State
from eicctl.emulator.world.specs import AclEntrySpec, AclSpec, EndpointSpec

_REST = AclEntrySpec(32_767, False, None, None, "0.0.0.0/0")
"""The entry with which every network ACL ends."""


def let_ipv6_through(ec2: Any, vpc_id: str) -> None:
    """Let IPv6 through the default network ACL, as EC2 does where the VPC has it and moto does not."""
    default = next(acl for acl in ec2.network_acls.values() if acl.vpc_id == vpc_id and acl.default)
    for egress in (True, False):
        _make_entry(ec2, default.id, egress, AclEntrySpec(101, True, None, None, "::/0"))


def make_acl(ec2: Any, vpc_id: str, subnets: Mapping[str, Any], spec: AclSpec) -> None:
    """Make a network ACL in front of the subnets that it names."""
    acl = ec2.create_network_acl(vpc_id, tags=[{"Key": "Name", "Value": spec.name}])
    for egress, entries in ((False, spec.ingress), (True, spec.egress)):
        for entry in (*entries, _REST):
            _make_entry(ec2, acl.id, egress, entry)
    for name in spec.subnets:
        there = next(
            association
            for each in ec2.network_acls.values()
            for association in each.associations
            if association.subnet_id == subnets[name].id
        )
        ec2.replace_network_acl_association(there.id, acl.id)


def make_endpoint(
    service: EndpointService, state: State, subnet_id: str, groups: Sequence[str], spec: EndpointSpec
) -> None:
    """Make an endpoint that is ready for connections."""
    request = CreateRequest(
        subnet_id=subnet_id,
        security_group_ids=tuple(groups),
        preserve_client_ip=spec.preserve_client_ip,
        ip_address_type=spec.ip_address_type or ("ipv4" if spec.preserve_client_ip else ""),
        tags={"Name": spec.name} if spec.name else {},
    )
    made = service.create(request, dry_run=False)
    state.put_endpoint(replace(made, state="create-complete"))


def _make_entry(ec2: Any, acl_id: str, egress: bool, entry: AclEntrySpec) -> None:
    six = ":" in entry.cidr
    ec2.create_network_acl_entry(
        network_acl_id=acl_id,
        rule_number=entry.number,
        protocol="-1" if entry.first is None else "6",
        rule_action="allow" if entry.allow else "deny",
        egress=egress,
        cidr_block=None if six else entry.cidr,
        ipv6_cidr_block=entry.cidr if six else None,
        icmp_code=None,
        icmp_type=None,
        port_range_from=entry.first,
        port_range_to=entry.last,
    )
