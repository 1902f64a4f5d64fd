"""Network interfaces that AWS services keep in a subnet, and deletions that EC2 refuses while something is in use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from eicctl.emulator.control.backends import Action, ApiError


def make(
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
    owner = object()  # moto wants to know who has an address, and never asks who it is
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


def regroup(ec2: Any, interface_id: str, group_ids: Sequence[str]) -> None:
    """Put it into these security groups instead of those that it is in."""
    ec2.modify_network_interface_attribute(interface_id, list(group_ids))


def release(ec2: Any, interface_id: str) -> None:
    """Delete it, if it is there, and set its address free."""
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
