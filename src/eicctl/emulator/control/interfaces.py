"""Network interfaces that an AWS service keeps in a subnet: an endpoint's, a database's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eicctl.emulator.control.backends import ApiError


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
