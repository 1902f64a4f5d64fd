"""The jump host of a database: the instance through which eicctl reaches it, and why that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eicctl.aws.databases import Database, check_usable, find_database, read_groups
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.core.errors import NotFoundError, UsageError
from eicctl.core.model import Endpoint, Instance
from eicctl.core.names import natural_key
from eicctl.core.network import NetworkFacts, SecurityGroup
from eicctl.reachability.connection import traffic_range
from eicctl.reachability.groups import Judgement, Peer, covers, judge, peers_of
from eicctl.support import pins
from eicctl.support.threads import both


@dataclass(frozen=True, slots=True)
class JumpHost:
    """The instance to go through, and why."""

    instance: Instance
    reason: str


def choose_instance(
    instances: Sequence[Instance],
    groups: Sequence[SecurityGroup],
    endpoints: Sequence[Endpoint],
    *,
    vpc_id: str,
    port: int,
    availability_zone: str = "",
    label: str = "the database",
) -> JumpHost:
    """Return a running Linux instance of the VPC that the database's groups allow.

    One in the database's Availability Zone comes first (traffic between zones is charged), then one that a group's rule
    names (and not just an address range), then by name.

    Args:
        instances: Instances of the region.
        groups: The database's security groups. Prefix lists in their rules do not count: what is in them is not known.
        endpoints: Endpoints of the region; an instance in a VPC that has some usable one is preferred only by the VPC.
        vpc_id: The database's VPC.
        port: The database's port.
        availability_zone: Where the database is; empty if that is not known.
        label: What to call the database.

    Raises:
        NotFoundError: There is none; the message says which peers the groups allow.
    """
    running = [i for i in instances if i.vpc_id == vpc_id and i.state == "running" and i.platform == "linux"]
    if not running:
        raise NotFoundError(
            f"No running Linux instance in VPC {vpc_id} ({label})",
            hint="--via INSTANCE specifies an instance elsewhere",
        )
    if not any(endpoint.vpc_id == vpc_id and endpoint.usable for endpoint in endpoints):
        raise NotFoundError(
            f"VPC {vpc_id} ({label}) has no available EC2 Instance Connect Endpoint",
            hint=pins.command("eicctl", "create-endpoint", "--vpc-id", vpc_id),
        )
    found: list[tuple[bool, bool, object, str, JumpHost]] = []
    for instance in running:
        if judgement := _allowed(instance, groups, port):
            near = bool(availability_zone) and instance.availability_zone == availability_zone
            zone = f", in the same zone {availability_zone}" if near else ""
            jump_host = JumpHost(instance, f"{judgement.allowed_by[0]}{zone}")
            found.append((not near, not judgement.by_group, natural_key(instance.name), instance.id, jump_host))
    if not found:
        raise NotFoundError(
            f"None of the {len(running)} running Linux instances in {vpc_id} may connect to {label} on port {port}: "
            f"{_allowed_peers(groups, port)}",
            hint="--via INSTANCE uses one anyway; or add an inbound rule to the database's security group",
        )
    return min(found)[-1]


def _allowed(instance: Instance, groups: Sequence[SecurityGroup], port: int) -> Judgement | None:
    for address in filter(None, (instance.private_ip, instance.ipv6)):
        label = f"{instance.name or instance.id} ({address})"
        peer = Peer(label, (traffic_range(address),), instance.security_group_ids, instance.vpc_id)
        judgement = judge(NetworkFacts(), groups, peer, port)
        if judgement.wholly:
            return judgement
    return None


def _allowed_peers(groups: Sequence[SecurityGroup], port: int) -> str:
    rules = [rule for group in groups for rule in group.ingress if covers(rule, port)]
    peers = sorted({peer for rule in rules for peer in peers_of(rule)})
    return f"its security groups allow {', '.join(peers) or 'none'}"


def locate(session: Session, database: str) -> tuple[Database | None, str, int]:
    """Return a database (None if RDS does not know it), its host and its port.

    Args:
        session: Access to AWS.
        database: An identifier, an ARN, or a host name, which may have a port (`HOST:PORT`).

    Raises:
        EicctlError: The database does not exist or is not available, or its port is unknown.
    """
    name, colon, digits = database.rpartition(":")
    given = 0
    if colon and digits.isdigit() and "." in name:
        database, given = name, int(digits)
    found = find_database(session, database)
    if found:
        check_usable(found)
        return found, found.host, given or found.port
    if not given:
        raise UsageError(
            f"No database with host name {database} in {session.location}",
            hint=f"try another --region. For any other host: {database}:PORT, with --via INSTANCE",
        )
    return None, database, given


def instance_for(session: Session, database: Database | None, port: int) -> JumpHost:
    """Return an instance that may connect to a database, and why.

    Raises:
        UsageError: RDS does not know the database, or it is in no VPC.
        NotFoundError: No instance may connect.
    """
    if database is None:
        raise UsageError(
            "This host is not a known RDS database, so no jump host can be selected",
            hint="specify the jump host: --via INSTANCE",
        )
    groups, (instances, endpoints) = both(
        lambda: read_groups(session, database.security_group_ids),
        lambda: both(
            lambda: list_instances(session, filters={"instance-state-name": ["running"]}),
            lambda: list_endpoints(session),
        ),
    )
    if not groups:
        raise UsageError(f"{database.id} is not in a VPC", hint="specify the jump host: --via INSTANCE")
    return choose_instance(
        instances,
        groups,
        endpoints,
        vpc_id=groups[0].vpc_id,
        port=port,
        availability_zone=database.availability_zone,
        label=database.id,
    )
