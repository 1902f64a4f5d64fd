"""The smallest change that fixes one cause, as data: what to call, how to undo it, and the command that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from eicctl.core.model import Endpoint
from eicctl.support import pins


@dataclass(frozen=True, slots=True)
class Call:
    """A call of EC2: the operation as botocore's clients name it, and its parameters in EC2's spelling."""

    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GroupRule:
    """Add one rule to a security group: TCP, one port, to or from a group or a range.

    Attributes:
        group_id: The group that gets the rule.
        egress: Whether it is an egress rule.
        port: The port.
        peer_group_id: The group to admit; empty where `cidr` is given.
        cidr: The range to admit; empty where `peer_group_id` is given.
    """

    group_id: str
    egress: bool
    port: int
    peer_group_id: str = ""
    cidr: str = ""

    @property
    def summary(self) -> str:
        """What it does, in words."""
        peer = f"{'to' if self.egress else 'from'} {self.peer_group_id or self.cidr}"
        return f"allow {'outbound ' if self.egress else ''}TCP {self.port} {peer} on {self.group_id}"

    @property
    def call(self) -> Call:
        """What makes the change."""
        return self._call("authorize")

    @property
    def undo(self) -> Call:
        """What undoes it."""
        return self._call("revoke")

    def _call(self, verb: str) -> Call:
        rule: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": self.port, "ToPort": self.port}
        if self.peer_group_id:
            rule["UserIdGroupPairs"] = [{"GroupId": self.peer_group_id}]
        elif ":" in self.cidr:
            rule["Ipv6Ranges"] = [{"CidrIpv6": self.cidr}]
        else:
            rule["IpRanges"] = [{"CidrIp": self.cidr}]
        direction = "egress" if self.egress else "ingress"
        return Call(f"{verb}_security_group_{direction}", {"GroupId": self.group_id, "IpPermissions": [rule]})

    @property
    def words(self) -> tuple[str, ...]:
        """The command line that makes the change."""
        head = ("aws", "ec2", f"authorize-security-group-{'egress' if self.egress else 'ingress'}")
        if not self.egress and ":" not in self.cidr:
            peer = ("--source-group", self.peer_group_id) if self.peer_group_id else ("--cidr", self.cidr)
            return (*head, "--group-id", self.group_id, "--protocol", "tcp", "--port", str(self.port), *peer)
        if self.peer_group_id:
            pair = f"UserIdGroupPairs=[{{GroupId={self.peer_group_id}}}]"
        else:
            pair = (
                f"Ipv6Ranges=[{{CidrIpv6={self.cidr}}}]" if ":" in self.cidr else f"IpRanges=[{{CidrIp={self.cidr}}}]"
            )
        permission = f"IpProtocol=tcp,FromPort={self.port},ToPort={self.port},{pair}"
        return (*head, "--group-id", self.group_id, "--ip-permissions", permission)


@dataclass(frozen=True, slots=True)
class AclAllow:
    """Add one entry to a network ACL that allows TCP, before the entry that denies it.

    Attributes:
        acl_id: The network ACL.
        number: The entry's number.
        egress: The direction.
        cidr: The range.
        ports: First and last destination port.
    """

    acl_id: str
    number: int
    egress: bool
    cidr: str
    ports: tuple[int, int]

    @property
    def summary(self) -> str:
        """What it does, in words."""
        peer = f"{'to' if self.egress else 'from'} {self.cidr}"
        traffic = f"{'outbound ' if self.egress else ''}TCP {port_words(self.ports)}"
        return f"allow {traffic} {peer} as entry {self.number} of {self.acl_id}"

    @property
    def call(self) -> Call:
        """What makes the change."""
        return Call(
            "create_network_acl_entry",
            {
                "NetworkAclId": self.acl_id,
                "RuleNumber": self.number,
                "Protocol": "6",
                "RuleAction": "allow",
                "Egress": self.egress,
                "Ipv6CidrBlock" if ":" in self.cidr else "CidrBlock": self.cidr,
                "PortRange": {"From": self.ports[0], "To": self.ports[1]},
            },
        )

    @property
    def undo(self) -> Call:
        """What undoes it."""
        return Call(
            "delete_network_acl_entry",
            {"NetworkAclId": self.acl_id, "RuleNumber": self.number, "Egress": self.egress},
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The command line that makes the change."""
        return (
            *("aws", "ec2", "create-network-acl-entry", "--network-acl-id", self.acl_id),
            *("--rule-number", str(self.number), "--egress" if self.egress else "--ingress"),
            *("--protocol", "tcp", "--port-range", f"From={self.ports[0]},To={self.ports[1]}"),
            *("--ipv6-cidr-block" if ":" in self.cidr else "--cidr-block", self.cidr, "--rule-action", "allow"),
        )


@dataclass(frozen=True, slots=True)
class PeeringRoute:
    """Add a route to a peering connection that exists."""

    route_table_id: str
    cidr: str
    peering_id: str

    @property
    def summary(self) -> str:
        """What it does, in words."""
        return f"add the route {self.cidr} via {self.peering_id} to {self.route_table_id}"

    @property
    def _destination(self) -> dict[str, str]:
        return {"DestinationIpv6CidrBlock" if ":" in self.cidr else "DestinationCidrBlock": self.cidr}

    @property
    def call(self) -> Call:
        """What makes the change."""
        there = {"RouteTableId": self.route_table_id, "VpcPeeringConnectionId": self.peering_id}
        return Call("create_route", there | self._destination)

    @property
    def undo(self) -> Call:
        """What undoes it."""
        return Call("delete_route", {"RouteTableId": self.route_table_id} | self._destination)

    @property
    def words(self) -> tuple[str, ...]:
        """The command line that makes the change."""
        return (
            *("aws", "ec2", "create-route", "--route-table-id", self.route_table_id),
            *("--destination-ipv6-cidr-block" if ":" in self.cidr else "--destination-cidr-block", self.cidr),
            *("--vpc-peering-connection-id", self.peering_id),
        )


@dataclass(frozen=True, slots=True)
class EndpointSetting:
    """Turn the endpoint's client IP preservation off, and give it the `ip_address_type` if there is one."""

    endpoint: Endpoint
    ip_address_type: str = ""

    @property
    def summary(self) -> str:
        """What it does, in words."""
        if self.ip_address_type:
            keep = ", without client IP preservation" if self._drops_client_ip else ""
            return f"set {self.endpoint.id} to {self.ip_address_type}{keep}"
        return f"turn off client IP preservation on {self.endpoint.id}"

    @property
    def _drops_client_ip(self) -> bool:
        """Whether it has to turn client IP preservation off: only `ipv4` endpoints have it."""
        return self.endpoint.preserve_client_ip

    def _call(self, ip_address_type: str, *, preserve: bool) -> Call:
        parameters: dict[str, Any] = {"InstanceConnectEndpointId": self.endpoint.id}
        if self.ip_address_type:
            parameters["IpAddressType"] = ip_address_type
        if self._drops_client_ip:
            parameters["PreserveClientIp"] = preserve
        return Call("modify_instance_connect_endpoint", parameters)

    @property
    def call(self) -> Call:
        """What makes the change."""
        return self._call(self.ip_address_type, preserve=False)

    @property
    def undo(self) -> Call:
        """What undoes it."""
        return self._call(self.endpoint.ip_address_type, preserve=True)

    @property
    def words(self) -> tuple[str, ...]:
        """The command line that makes the change."""
        kind = ("--ip-address-type", self.ip_address_type) if self.ip_address_type else ()
        drop = ("--no-preserve-client-ip",) if self._drops_client_ip else ()
        return ("eicctl", "modify-endpoint", self.endpoint.id, *kind, *drop)


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """Create an endpoint in a subnet, or in a VPC. It is offered as a command only, as it takes minutes."""

    vpc_id: str
    subnet_id: str = ""

    @property
    def summary(self) -> str:
        """What it does, in words."""
        return f"create an endpoint in {self.subnet_id or self.vpc_id}"

    call: ClassVar[None] = None
    undo: ClassVar[None] = None

    @property
    def words(self) -> tuple[str, ...]:
        """The command line that makes the change."""
        where = ("--subnet-id", self.subnet_id) if self.subnet_id else ("--vpc-id", self.vpc_id)
        return ("eicctl", "create-endpoint", *where)


Change = GroupRule | AclAllow | PeeringRoute | EndpointSetting | NewEndpoint
"""One change. `call` and `undo` are None where it is only offered as a command line."""


def command_line(change: Change, *, region: str = "", profile: str | None = None) -> str:
    """Return a change as a line for a shell, with the region and the profile that it is for."""
    profile = profile or pins.environment_profile()
    where = (("--region", region) if region else ()) + (("--profile", profile) if profile else ())
    return pins.command(*change.words, *where)


def port_words(ports: tuple[int, int]) -> str:
    """Return ports as a person writes them: `22` or `1024-65535`."""
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"
