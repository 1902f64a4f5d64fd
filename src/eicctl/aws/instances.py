"""EC2 instances, for connections: addresses, AMIs, console output, passwords, status checks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from eicctl.aws import caches
from eicctl.aws.ec2_requests import answered, batches, described, exact_filters, listed, pattern_filters
from eicctl.aws.errors import translated
from eicctl.aws.explicit_target import INSTANCE_ID
from eicctl.aws.session import Session
from eicctl.core.errors import NotFoundError, UnavailableError, UsageError
from eicctl.core.model import Instance
from eicctl.core.names import correct, natural_key, same_but_case
from eicctl.support import pins
from eicctl.support.clock import Backoff

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef


@dataclass(frozen=True, slots=True)
class InstanceAddress:
    """A private address of an instance. A terminated instance has none, and a name for as long as EC2 lists it.

    `since` is when the address's interface was attached, None if EC2 does not say. (An instance's launch time would
    not do: it is that of its last start.)
    """

    instance_id: str
    name: str
    vpc_id: str
    address: str
    since: datetime | None


def address_history(session: Session, region: str) -> list[InstanceAddress]:
    """Return the addresses of all instances of a region, terminated ones included."""
    with translated("look up instances"):
        groups = listed(session.client("ec2", region), "describe_instances", "Reservations")
        return [held for group in groups for row in group["Instances"] for held in _of_instance(row)]


def _of_instance(row: InstanceTypeDef) -> Iterator[InstanceAddress]:
    name = next((tag["Value"] for tag in row.get("Tags", []) if tag["Key"] == "Name"), "")
    since: dict[str, datetime | None] = {}
    for interface in row.get("NetworkInterfaces", []):
        attached = interface.get("Attachment", {}).get("AttachTime")
        addresses = [item.get("PrivateIpAddress", "") for item in interface.get("PrivateIpAddresses", [])]
        addresses += [interface.get("PrivateIpAddress", "")]
        addresses += [item.get("Ipv6Address", "") for item in interface.get("Ipv6Addresses", [])]
        since.update(dict.fromkeys(filter(None, addresses), attached))
    for address in (row.get("PrivateIpAddress", ""), row.get("Ipv6Address", "")):
        if address:
            since.setdefault(address, None)
    for address in since or [""]:
        yield InstanceAddress(row["InstanceId"], name, row.get("VpcId", ""), address, since.get(address))


def console_output(session: Session, instance_id: str, *, latest: bool = False) -> str:
    """Return the last 64 KiB of an instance's console; empty if there is nothing yet.

    Args:
        session: Access to AWS.
        instance_id: The instance.
        latest: Ask for what is there now, instead of what EC2 has kept since the last start; not every instance type
            has it.

    Raises:
        EicctlError: By the service's error.
    """
    more: dict[str, bool] = {"Latest": True} if latest else {}
    with translated(f"read the console output of {instance_id}"):
        answer = answered(session, "get_console_output", InstanceId=instance_id, **more)
    return str(answer.get("Output", ""))


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI.

    `owner` is an account ID; `platform` is EC2's PlatformDetails, such as `Red Hat Enterprise Linux`.
    """

    name: str
    owner: str
    platform: str


def describe_images(session: Session, image_ids: Collection[str]) -> dict[str, Image]:
    """Return AMIs by ID; those that DescribeImages does not return are omitted."""
    if not image_ids:
        return {}
    # A filter, because an ID that is gone would be an error.
    filters = [exact_filters({"image-id": some}) for some in batches(sorted(set(image_ids)))]
    with translated("look up the images"):
        rows = [row for each in filters for row in described(session, "describe_images", "Images", Filters=each)]
    return {
        row["ImageId"]: Image(
            str(row.get("Name", "")), str(row.get("OwnerId", "")), str(row.get("PlatformDetails", ""))
        )
        for row in rows
    }


def password_data(session: Session, instance_id: str) -> str:
    """Return the password, encrypted with the instance's key pair, in base64.

    Raises:
        UnavailableError: There is none, or none yet.
        EicctlError: By the service's error.
    """
    with translated(f"get the password of {instance_id}"):
        answer = session.client("ec2").get_password_data(InstanceId=instance_id)
    data = str(answer.get("PasswordData", "")).strip()
    if not data:
        raise UnavailableError(
            f"EC2 has no password for {instance_id}, or none yet",
            hint="Windows generates it a few minutes after the first start, if the instance has a key pair; "
            "EC2 does not have the password of an image that sets its own",
            transient=True,
        )
    return data


def key_name(session: Session, instance_id: str) -> str:
    """Return the name of an instance's key pair, or an empty string."""
    found = list_instances(session, ids=[instance_id])
    return found[0].key_name if found else ""


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
        ids: Instance IDs; all if empty.
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
        request["Filters"] = exact_filters(filters or {}) + pattern_filters(patterns or {})
    where = region or session.region
    with translated("look up instances"):
        found = [
            _instance(row, where, group.get("OwnerId", ""))
            for group in described(session, "describe_instances", "Reservations", where, **request)
            for row in group["Instances"]
        ]
    caches.note_names(
        session,
        caches.INSTANCES,
        {one.id: shown(one) for one in found if one.state != "terminated"},
        region=where,
        whole=not request,
    )
    return sorted(found, key=_order)


def _order(instance: Instance) -> tuple[object, ...]:
    state = STATE_ORDER.index(instance.state) if instance.state in STATE_ORDER else len(STATE_ORDER)
    return (state, *natural_key(instance.name), instance.id)


def shown(instance: Instance) -> tuple[str, ...]:
    """Return what lists show of an instance, as `caches.INSTANCES` has it."""
    address = instance.private_ip or instance.ipv6
    return (instance.name, instance.state, instance.platform, address, instance.availability_zone, instance.vpc_id)


def tag_filter(word: str) -> dict[str, list[str]] | None:
    """Return the filter that the target `tag:KEY=VALUE` means; None for any other word.

    Raises:
        UsageError: It has no key or no equals sign.
    """
    if not word.startswith("tag:"):
        return None
    key, equals, value = word.removeprefix("tag:").partition("=")
    if not key or not equals:
        raise UsageError(f"Invalid target {word!r}", hint="use tag:KEY=VALUE")
    return {f"tag:{key}": [value]}


def instances_named(session: Session, words: Sequence[str], *, states: Sequence[str]) -> list[Instance]:
    """Return the instances that IDs, Name tags and `tag:KEY=VALUE` mean, each once.

    Args:
        session: Access to AWS.
        words: IDs, names and tags. A name's case does not matter where only one instance has it.
        states: The states in which an instance is found by its name or a tag.

    Raises:
        NotFoundError: One of them means none.
    """
    running = {"instance-state-name": states}
    ids = [word for word in words if INSTANCE_ID.fullmatch(word)]
    tags = {word: filters for word in words if (filters := tag_filter(word))}
    names = [word for word in words if word not in ids and word not in tags]
    found = list_instances(session, ids=ids) if ids else []
    if names:
        for some in batches(names):
            found += list_instances(session, filters={"tag:Name": some, **running})
    kind = "instance" if "stopped" in states else "running instance"
    for word in words:
        if word in tags:
            matching = list_instances(session, filters={**tags[word], **running})
        elif any(word in (instance.id, instance.name) for instance in found):
            continue
        else:
            matching = [instance for instance in with_other_case(session, word) if instance.state in states]
        if not matching:
            raise no_instance(session, word, kind)
        found += matching
    return list({instance.id: instance for instance in found}.values())


def with_other_case(session: Session, name: str) -> list[Instance]:
    """Return the instance whose name differs from `name` by case only; an empty list where there are several names."""
    alive = [instance for instance in list_instances(session) if instance.state != "terminated"]
    names = set(same_but_case(name, [instance.name for instance in alive]))
    return [instance for instance in alive if instance.name in names] if len(names) == 1 else []


def no_instance(session: Session, word: str, kind: str = "instance", *, why: str = "") -> NotFoundError:
    """Return the error for an ID, a name or a tag that no instance has, with what may have been meant.

    That is the same name in another region or profile, else names like it in this region; both as far as they have been
    seen.

    Args:
        session: Access to AWS.
        word: What was specified.
        kind: What was looked for.
        why: What else did not lead to it, for the message.
    """
    hint = session.command("eicctl", "instances")
    if word.startswith("tag:"):
        return NotFoundError(f'No {kind} has the tag "{word.removeprefix("tag:")}" in {session.location}', hint=hint)
    error = NotFoundError(f'No {kind} named "{word}" in {session.location}{why}', hint=hint)
    if INSTANCE_ID.fullmatch(word):
        error = NotFoundError(f"No {kind} with ID {word} in {session.location}", hint=hint)
    if there := caches.seen_elsewhere(word, session.profile, session.region):
        profile, region = there[0]
        error.message += f"; it was last seen in {pins.location(region, profile)}"
        error.hint = pins.command_line(["eicctl", "ssh", word], profile=profile, region=region)
        error.correction = (word, word, profile or "", region)
    elif not INSTANCE_ID.fullmatch(word):
        known = caches.known_names(caches.INSTANCES, session.profile, session.region)
        correct(error, word, known.values())
        if error.correction:
            error.hint = session.command("eicctl", "ssh", error.correction[1])
    return error


def _instance(row: InstanceTypeDef, region: str, owner_id: str) -> Instance:
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


def start_instance(
    session: Session, instance_id: str, *, timeout: float, progress: Callable[[str], None] = lambda _state: None
) -> None:
    """Start an instance, once it has stopped, and return when EC2 lists it as pending or running.

    Args:
        session: Access to AWS.
        instance_id: The instance.
        timeout: Seconds to wait for the change of its state.
        progress: Takes each state.

    Raises:
        UnavailableError: It is terminated, or has not changed its state in time.
        DeniedError: The caller may not start it.
    """
    backoff = Backoff(0.5, 5.0, growth=1.5, jitter=0.2)
    asked = False
    for last in backoff.attempts(timeout):
        found = list_instances(session, ids=[instance_id])
        state = found[0].state if found else "terminated"
        progress(state)
        if state in ("pending", "running"):
            return
        if state in ("terminated", "shutting-down"):
            raise UnavailableError(f"Instance {instance_id} is {state}")
        if state == "stopped" and not asked:
            with translated(f"start {instance_id}"):
                session.client("ec2").start_instances(InstanceIds=[instance_id])
            asked = True
            backoff.reset()
        if last:
            raise UnavailableError(
                f"Instance {instance_id} is still {state} after {timeout:g} s",
                hint=session.command("eicctl", "instances"),
                transient=True,
            )
