"""What EC2 refuses to delete while something uses it. moto deletes it all the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eicctl.emulator.control.backends import ApiError
from eicctl.emulator.control.interfaces import groups_of


def check_group(ec2: Any, group_id: str | None, name: str | None) -> None:
    """Raise EC2's error if a network interface is in the security group, or a rule of another group names it."""
    for groups in ec2.groups.values():
        for group in groups.values():
            if group_id == group.id or (name and name == group.name):
                _check_group(ec2, group, [other for other in groups.values() if other is not group])


def _check_group(ec2: Any, group: Any, others: Iterable[Any]) -> None:
    in_use = any(group in groups_of(interface) for interface in _interfaces(ec2)) or any(
        rule.source_group and rule.source_group.get("GroupId") == group.id
        for other in others
        for rule in (*other.ingress_rules, *other.egress_rules)
    )
    if in_use:
        raise _has_dependents(group.id)


def check_subnet(ec2: Any, subnet_id: str) -> None:
    """Raise EC2's error if a network interface is in the subnet."""
    if any(interface.subnet.id == subnet_id for interface in _interfaces(ec2)):
        raise _has_dependents(subnet_id)


def check_interface(ec2: Any, interface_id: str) -> None:
    """Raise EC2's error if an AWS service manages the network interface."""
    interface = ec2.enis.get(interface_id)
    if interface and interface.requester_managed:
        raise ApiError("InvalidNetworkInterface.InUse", f"Interface: [{interface_id}] in use.")  # the code is inferred


def _interfaces(ec2: Any) -> list[Any]:
    # moto keeps the interfaces of terminated instances.
    return [eni for eni in ec2.enis.values() if not (eni.instance and eni.instance.state == "terminated")]


def _has_dependents(resource_id: str) -> ApiError:
    return ApiError("DependencyViolation", f"resource {resource_id} has a dependent object")
