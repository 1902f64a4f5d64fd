"""Through which instance a database is reached: a decision without I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eicctl.errors import NotFoundError
from eicctl.model import Endpoint, Instance


@dataclass(frozen=True, slots=True)
class Admission:
    """An ingress rule of a database's security group, for the database's port.

    Attributes:
        group_id: The group that has the rule.
        peers: Security groups that may connect.
        ranges: Address ranges (CIDR) that may.
    """

    group_id: str
    peers: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()

    def reason(self, instance: Instance) -> str | None:
        """Return in words why an instance may connect, or None if this rule does not let it."""
        for peer in self.peers:
            if peer in instance.security_group_ids:
                return f"{self.group_id} admits its group {peer}"
        for cidr in self.ranges:
            for address in (instance.private_ip, instance.ipv6):
                if address and ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False):
                    return f"{self.group_id} admits {cidr}, which has its address {address}"
        return None


@dataclass(frozen=True, slots=True)
class Way:
    """The instance to go through, and why."""

    instance: Instance
    reason: str


def admissions(groups: Sequence[Mapping[str, Any]], port: int) -> list[Admission]:
    """Return the rules that let somebody connect to a port.

    Args:
        groups: Security groups as DescribeSecurityGroups has them. Prefix lists are left out: what is in them takes
            further calls to know.
        port: The port.
    """
    found = []
    for group in groups:
        for rule in group.get("IpPermissions", []):
            if not _covers(rule, port):
                continue
            peers = tuple(pair["GroupId"] for pair in rule.get("UserIdGroupPairs", []) if pair.get("GroupId"))
            ranges = [row["CidrIp"] for row in rule.get("IpRanges", [])]
            ranges += [row["CidrIpv6"] for row in rule.get("Ipv6Ranges", [])]
            found.append(Admission(group["GroupId"], peers, tuple(ranges)))
    return found


def _covers(rule: Mapping[str, Any], port: int) -> bool:
    protocol = str(rule.get("IpProtocol"))
    if protocol == "-1":
        return True
    return protocol in ("tcp", "6") and int(rule.get("FromPort", 0)) <= port <= int(rule.get("ToPort", 65535))


def choose_instance(
    instances: Sequence[Instance],
    rules: Sequence[Admission],
    endpoints: Sequence[Endpoint],
    *,
    vpc_id: str,
    port: int,
    availability_zone: str = "",
    label: str = "the database",
) -> Way:
    """Return a running Linux instance of the VPC that the database's groups let connect.

    One in the database's Availability Zone comes first (traffic between zones is charged), then one that a group's rule
    names (and not just an address range), then by name.

    Args:
        instances: Instances of the region.
        rules: What the database's groups admit to its port.
        endpoints: Endpoints of the region; an instance in a VPC that has some usable one is preferred only by the VPC.
        vpc_id: The database's VPC.
        port: The database's port.
        availability_zone: Where the database is; empty where that is not known.
        label: What to call the database.

    Raises:
        NotFoundError: There is none; the message says whom the groups admit.
    """
    running = [i for i in instances if i.vpc_id == vpc_id and i.state == "running" and i.platform == "linux"]
    if not running:
        raise NotFoundError(
            f"no Linux instance runs in {vpc_id}, where {label} is",
            hint="--via INSTANCE names one elsewhere that can reach it",
        )
    if not any(endpoint.vpc_id == vpc_id and endpoint.usable for endpoint in endpoints):
        raise NotFoundError(
            f"there is no usable endpoint in {vpc_id}, where {label} is",
            hint=f"make one: eicctl create-endpoint --vpc-id {vpc_id}",
        )
    ways: list[tuple[tuple[bool, bool, str, str], Way]] = []
    for instance in running:
        reasons = [reason for rule in rules if (reason := rule.reason(instance))]
        if not reasons:
            continue
        by_group = [reason for reason in reasons if "its group" in reason]
        near = bool(availability_zone) and instance.availability_zone == availability_zone
        zone = f", in the same zone {availability_zone}" if near else ""
        way = Way(instance, f"{(by_group or reasons)[0]} to port {port}{zone}")
        ways.append(((not near, not by_group, instance.name, instance.id), way))
    if not ways:
        raise NotFoundError(
            f"none of the {len(running)} running Linux instances in {vpc_id} may connect to {label}, port {port}: "
            f"{_told(rules)}",
            hint="--via INSTANCE goes through one all the same; or add an ingress rule to the database's group",
        )
    return min(ways, key=lambda pair: pair[0])[1]


def _told(rules: Sequence[Admission]) -> str:
    admitted = sorted({peer for rule in rules for peer in (*rule.peers, *rule.ranges)})
    return f"its groups admit {', '.join(admitted)}" if admitted else "its groups admit nobody"
