"""What a world file says, once it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule of a security group: TCP ports `first` to `last`, or everything where `first` is None.

    The peer is a CIDR range, or else the name of a group of the VPC.
    """

    first: int | None
    last: int | None
    cidr: str
    group: str


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A security group; `egress` is None where the file says nothing of it, and everything is let out."""

    name: str
    ingress: tuple[RuleSpec, ...]
    egress: tuple[RuleSpec, ...] | None


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """A subnet; `cidr` is empty where it has IPv6 only."""

    name: str
    cidr: str
    ipv6_cidr: str
    availability_zone: str


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """An instance, or `count` of them at consecutive addresses (`NAME-1`, `NAME-2`, …).

    `address` is empty where it has IPv6 only, as in a subnet that has it only.
    """

    name: str
    subnet: str
    address: str
    ipv6_address: str
    image: str
    count: int
    state: str
    instance_type: str
    groups: tuple[str, ...]
    users: tuple[str, ...]
    forwards: Mapping[int, str]
    ec2_instance_connect: bool
    authorized_keys: tuple[str, ...]
    tags: Mapping[str, str]
    key_name: str


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """An RDS instance at a private address, or an Aurora cluster with its writer there.

    `forward` is the real `HOST:PORT` behind it, if there is one.
    """

    id: str
    subnet: str
    engine: str
    port: int
    address: str
    groups: tuple[str, ...]
    forward: str
    reader_address: str
    iam_auth: bool

    @property
    def is_cluster(self) -> bool:
        """Whether it is an Aurora cluster."""
        return self.engine.startswith("aurora-")


@dataclass(frozen=True, slots=True)
class AclEntrySpec:
    """An entry of a network ACL: TCP ports `first` to `last`, or everything where `first` is None."""

    number: int
    allow: bool
    first: int | None
    last: int | None
    cidr: str


@dataclass(frozen=True, slots=True)
class AclSpec:
    """A network ACL for some subnets."""

    name: str
    subnets: tuple[str, ...]
    ingress: tuple[AclEntrySpec, ...]
    egress: tuple[AclEntrySpec, ...]


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An endpoint, ready for connections; an empty `ip_address_type` is the subnet's."""

    name: str
    subnet: str
    groups: tuple[str, ...]
    preserve_client_ip: bool
    ip_address_type: str


@dataclass(frozen=True, slots=True)
class VpcSpec:
    """A VPC and all that is in it."""

    name: str
    region: str
    cidr: str
    ipv6_cidr: str
    subnets: tuple[SubnetSpec, ...]
    groups: tuple[GroupSpec, ...]
    instances: tuple[InstanceSpec, ...]
    databases: tuple[DatabaseSpec, ...]
    acls: tuple[AclSpec, ...]
    endpoints: tuple[EndpointSpec, ...]


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An AMI: its name and owner tell which OS user it has."""

    key: str
    name: str
    owner: str
    platform: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """A whole world file."""

    images: tuple[ImageSpec, ...]
    vpcs: tuple[VpcSpec, ...]
