"""EC2 instances, as far as connections are concerned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eicctl.aws import completion_cache
from eicctl.aws import filters as ec2_filters
from eicctl.aws.errors import translated
from eicctl.aws.explicit_target import INSTANCE_ID
from eicctl.aws.session import Session
from eicctl.core.errors import NotFoundError
from eicctl.core.model import Instance

STATE_ORDER = ("running", "pending", "stopping", "stopped", "shutting-down", "terminated")
"""Instances are listed in this order of their states."""


def list_instances(
    session: Session,
    *,
    ids: Sequence[str] = (),
    filters: Mapping[str, Sequence[str]] | None = None,
    patterns: Mapping[str, Sequence[str]] | None = None,
    region: str | None = None,
) -> list[Instance]:
    """Return instances, running ones first, then by name.

    Args:
        session: Access to AWS.
        ids: Instance IDs; all where empty.
        filters: EC2's filters of DescribeInstances; the values are exact.
        patterns: More of them, with wildcards in the values.
        region: The region; the session's where None.

    Raises:
        NotFoundError: An ID does not exist.
    """
    request: dict[str, Any] = {}
    if ids:
        request["InstanceIds"] = list(ids)
    if filters or patterns:
        request["Filters"] = ec2_filters.exact(filters or {}) + ec2_filters.patterns(patterns or {})
    where = region or session.region
    with translated("look up instances"):
        pages = session.client("ec2", where).get_paginator("describe_instances").paginate(**request)
        found = [
            _instance(row, where, group.get("OwnerId", ""))
            for page in pages
            for group in page["Reservations"]
            for row in group["Instances"]
        ]
    completion_cache.note(
        session,
        completion_cache.INSTANCES,
        {one.id: one.name for one in found if one.state != "terminated"},
        region=where,
        whole=not request,
    )
    return sorted(found, key=_order)


def _order(instance: Instance) -> tuple[int, str, str]:
    completion_cache = instance.state in STATE_ORDER
    return (STATE_ORDER.index(instance.state) if completion_cache else len(STATE_ORDER), instance.name, instance.id)


def instances_named(session: Session, words: Sequence[str], *, states: Sequence[str]) -> list[Instance]:
    """Return the instances that IDs or Name tags mean, each once.

    Args:
        session: Access to AWS.
        words: IDs and names.
        states: The states in which an instance is found by its name.

    Raises:
        NotFoundError: One of them means none.
    """
    ids = [word for word in words if INSTANCE_ID.fullmatch(word)]
    names = [word for word in words if word not in ids]
    found = list_instances(session, ids=ids) if ids else []
    if names:
        found += list_instances(session, filters={"tag:Name": names, "instance-state-name": states})
    for word in words:
        if not any(word in (instance.id, instance.name) for instance in found):
            raise no_instance(session, word, "instance" if "stopped" in states else "running instance")
    return list({instance.id: instance for instance in found}.values())


def no_instance(session: Session, word: str, kind: str = "instance") -> NotFoundError:
    """Return the error for an ID or a name that no instance has. `kind` is what was looked for."""
    hint = session.command("eicctl", "instances")
    if INSTANCE_ID.fullmatch(word):
        return NotFoundError(f"No {kind} with ID {word} in {session.location}", hint=hint)
    return NotFoundError(f'No {kind} named "{word}" in {session.location}', hint=hint)


def _instance(row: Mapping[str, Any], region: str, owner_id: str) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}
    addresses = [
        address["Ipv6Address"]
        for interface in row.get("NetworkInterfaces", [])
        for address in interface.get("Ipv6Addresses", [])
    ]
    return Instance(
        id=row["InstanceId"],
        state=row["State"]["Name"],
        vpc_id=row.get("VpcId", ""),
        subnet_id=row.get("SubnetId", ""),
        availability_zone=row.get("Placement", {}).get("AvailabilityZone", ""),
        private_ip=row.get("PrivateIpAddress", ""),
        region=region,
        name=tags.get("Name", ""),
        platform="windows" if str(row.get("Platform", "")).lower() == "windows" else "linux",
        ipv6=row.get("Ipv6Address") or (addresses[0] if addresses else ""),
        private_dns_name=row.get("PrivateDnsName", ""),
        image_id=row.get("ImageId", ""),
        instance_type=row.get("InstanceType", ""),
        key_name=row.get("KeyName", ""),
        owner_id=owner_id,
        security_group_ids=tuple(group["GroupId"] for group in row.get("SecurityGroups", [])),
        tags=tags,
    )


def instance_status(session: Session, instance_id: str) -> tuple[str, str]:
    """Return what EC2's status checks say of the system and of the instance: `ok`, `initializing`, `impaired`, …

    Both are empty for an instance that does not run.
    """
    with translated("look up the instance's status checks"):
        rows = session.client("ec2").describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"]
    if not rows:
        return "", ""
    return str(rows[0]["SystemStatus"]["Status"]), str(rows[0]["InstanceStatus"]["Status"])
