"""The smallest change that fixes one cause, as data: the call of EC2, how to undo it, and the command that does it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from eicctl.core.model import Endpoint
from eicctl.support import pins


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        summary: What it does, as text.
        words: The command line that makes it, without region and profile.
        operation: The call of EC2 that makes it, as botocore's clients name it; empty if only the command does.
        parameters: The call's parameters.
    """

    summary: str
    words: tuple[str, ...]
    operation: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_group_rule(self) -> bool:
        """Whether it adds one rule to a security group; the same parameters remove it."""
        return self.operation.startswith("authorize_security_group_")

    @property
    def undo_operation(self) -> str:
        """The call that removes an added rule of a security group."""
        return self.operation.replace("authorize", "revoke")


def group_rule(group_id: str, *, egress: bool, port: int, peer_group_id: str = "", cidr: str = "") -> Change:
    """Add one rule to a security group: TCP, one port, to or from a group or a range."""
    rule: dict[str, object] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    if peer_group_id:
        rule["UserIdGroupPairs"] = [{"GroupId": peer_group_id}]
    elif ":" in cidr:
        rule["Ipv6Ranges"] = [{"CidrIpv6": cidr}]
    else:
        rule["IpRanges"] = [{"CidrIp": cidr}]
    operation = f"authorize_security_group_{'egress' if egress else 'ingress'}"
    parameters = {"GroupId": group_id, "IpPermissions": [rule]}
    words = _aws(operation, parameters)
    if not egress and ":" not in cidr:  # the short form of the AWS CLI
        peer = ("--source-group", peer_group_id) if peer_group_id else ("--cidr", cidr)
        words = (*words[:5], "--protocol", "tcp", "--port", str(port), *peer)
    what = f"{'outbound ' if egress else ''}TCP {port} {'to' if egress else 'from'} {peer_group_id or cidr}"
    return Change(f"allow {what} on {group_id}", words, operation, parameters)


def acl_entry(acl_id: str, number: int, *, egress: bool, cidr: str, ports: tuple[int, int]) -> Change:
    """Add one entry to a network ACL that allows TCP to a range of ports, before the entry that denies it."""
    parameters = {
        "NetworkAclId": acl_id,
        "RuleNumber": number,
        "Egress": egress,
        "Protocol": "6",
        "PortRange": {"From": ports[0], "To": ports[1]},
        "Ipv6CidrBlock" if ":" in cidr else "CidrBlock": cidr,
        "RuleAction": "allow",
    }
    traffic = f"{'outbound ' if egress else ''}TCP {port_words(ports)} {'to' if egress else 'from'} {cidr}"
    return _by_aws(f"allow {traffic} as entry {number} of {acl_id}", "create_network_acl_entry", parameters)


def peering_route(route_table_id: str, cidr: str, peering_id: str) -> Change:
    """Add a route to an existing peering connection."""
    parameters = {
        "RouteTableId": route_table_id,
        "DestinationIpv6CidrBlock" if ":" in cidr else "DestinationCidrBlock": cidr,
        "VpcPeeringConnectionId": peering_id,
    }
    return _by_aws(f"add the route {cidr} via {peering_id} to {route_table_id}", "create_route", parameters)


def endpoint_setting(endpoint: Endpoint, ip_address_type: str = "") -> Change:
    """Turn the endpoint's client IP preservation off, and set its address type if one is given.

    Only endpoints of type `ipv4` have client IP preservation.
    """
    summary, words = f"turn off client IP preservation on {endpoint.id}", ["eicctl", "modify-endpoint", endpoint.id]
    parameters: dict[str, object] = {"InstanceConnectEndpointId": endpoint.id}
    if ip_address_type:
        without = ", without client IP preservation" if endpoint.preserve_client_ip else ""
        summary = f"set {endpoint.id} to {ip_address_type}{without}"
        words += ["--ip-address-type", ip_address_type]
        parameters["IpAddressType"] = ip_address_type
    if endpoint.preserve_client_ip:
        words.append("--no-preserve-client-ip")
        parameters["PreserveClientIp"] = False
    return Change(summary, tuple(words), "modify_instance_connect_endpoint", parameters)


def new_endpoint(vpc_id: str, subnet_id: str = "", *, own_group: bool = False) -> Change:
    """Create an endpoint in a subnet, or in a VPC. Only the command does it, as it takes minutes.

    Args:
        vpc_id: The VPC.
        subnet_id: The subnet; empty for any.
        own_group: Whether with a security group of its own: in a shared VPC, the default one is the owner's.
    """
    where = ("--subnet-id", subnet_id) if subnet_id else ("--vpc-id", vpc_id)
    group = ("--create-security-group",) if own_group else ()
    return Change(f"create an endpoint in {subnet_id or vpc_id}", ("eicctl", "create-endpoint", *where, *group))


def change_command(change: Change, *, region: str = "", profile: str | None = None) -> str:
    """Return a change as a line for a shell, with the region and the profile that it is for."""
    profile = profile or pins.environment_profile()
    where = (("--region", region) if region else ()) + (("--profile", profile) if profile else ())
    return pins.command(*change.words, *where)


def port_words(ports: tuple[int, int]) -> str:
    """Return ports as a person writes them: `22` or `1024-65535`."""
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"


def _by_aws(summary: str, operation: str, parameters: Mapping[str, object]) -> Change:
    return Change(summary, _aws(operation, parameters), operation, parameters)


def _aws(operation: str, parameters: Mapping[str, object]) -> tuple[str, ...]:
    """Return the AWS CLI's command for a call of EC2: options are the parameters' names in lower case with hyphens."""
    words = ["aws", "ec2", operation.replace("_", "-")]
    for name, value in parameters.items():
        if name == "Egress":
            words.append("--egress" if value else "--ingress")
        else:
            option = re.sub("(?<!^)(?=[A-Z])", "-", name).lower()
            shown = value[0] if isinstance(value, list) else "tcp" if name == "Protocol" else value
            words += [f"--{option}", _shorthand(shown)]
    return tuple(words)


def _shorthand(value: object) -> str:
    """Return a parameter's value in the AWS CLI's shorthand: `From=22,To=22`, or with `[{…}]` inside."""
    if isinstance(value, list):
        return f"[{','.join(f'{{{_shorthand(item)}}}' for item in value)}]"
    if isinstance(value, dict):
        return ",".join(f"{key}={_shorthand(item)}" for key, item in value.items())
    return str(value)
