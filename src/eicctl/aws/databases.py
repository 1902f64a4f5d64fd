"""RDS instances and Aurora clusters: where they listen, who may connect, and the tokens of their IAM authentication.

A token is good for 15 minutes, for new connections (RDS user guide, IAM database authentication). It is a password: it
is in no argument, no message and no log.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eicctl.aws import caches
from eicctl.aws.ec2_requests import exact_filters, listed
from eicctl.aws.endpoint_selection import TargetLocation, choose_endpoint, usable_name
from eicctl.aws.endpoints import get_endpoint, list_endpoints
from eicctl.aws.errors import translated
from eicctl.aws.explicit_target import Resolver, address_of, addresses_of
from eicctl.aws.network import group_of
from eicctl.aws.session import Session
from eicctl.core.errors import AmbiguousError, NotFoundError, UnavailableError, UsageError
from eicctl.core.model import Target
from eicctl.core.names import correct, folded, natural_key
from eicctl.core.network import SecurityGroup
from eicctl.support import pins
from eicctl.support.redact import register
from eicctl.support.threads import both

if TYPE_CHECKING:
    from mypy_boto3_rds.type_defs import DBClusterTypeDef, DBInstanceTypeDef


def auth_token(session: Session, host: str, port: int, user: str) -> str:
    """Return a token for a database user at a real endpoint of RDS (not at a local port); nothing is sent.

    Raises:
        CredentialsError: There are no credentials.
    """
    with translated("sign a token for the database"):
        token: str = session.client("rds").generate_db_auth_token(
            DBHostname=host, Port=port, DBUsername=user, Region=session.region
        )
    register(token)
    return token


_DOWN = frozenset({"stopped", "stopping", "starting", "creating", "deleting", "failed", "restore-error"})
"""States in which a database takes no connections. In all others (`backing-up`, `modifying`, …) it may."""


_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
"""What RDS takes for an identifier; anything else it refuses as a bad request."""


@dataclass(frozen=True, slots=True)
class Database:
    """An RDS instance or an Aurora cluster, as RDS describes it.

    Attributes:
        id: Its identifier.
        cluster: Whether it is a cluster.
        engine: RDS's name of the engine (`postgres`, `aurora-mysql`, …).
        host: The DNS name of its endpoint; a cluster's leads to the writer.
        port: Its port.
        status: RDS's word (`available`, …).
        reader_host: A cluster's reader endpoint, or an empty string.
        security_group_ids: Its groups.
        availability_zone: Where an instance is; empty for a cluster.
        master_user: The name of its first user.
        name: The database that was created with it, or an empty string.
        iam_auth: Whether IAM authentication is on.
        custom_hosts: A cluster's custom endpoints.
    """

    id: str
    cluster: bool
    engine: str
    host: str
    port: int
    status: str
    reader_host: str = ""
    security_group_ids: tuple[str, ...] = ()
    availability_zone: str = ""
    master_user: str = ""
    name: str = ""
    iam_auth: bool = False
    custom_hosts: tuple[str, ...] = ()

    @property
    def hosts(self) -> set[str]:
        """The names at which it listens, in small letters."""
        return {name.lower() for name in (self.host, self.reader_host, *self.custom_hosts) if name}


def find_database(session: Session, words: str) -> Database | None:
    """Return the database that an identifier, an ARN or a host name means; None for a host that RDS does not know.

    For a cluster's reader or custom endpoint, `host` is that one.

    Raises:
        NotFoundError: No database has this identifier.
        AmbiguousError: An instance and a cluster have it.
    """
    words = words.removeprefix("rds:")
    if words.startswith("arn:"):
        words = words.rpartition(":")[2]
    if "." in words:
        host = words.rstrip(".").lower()
        at_host = sorted((d for d in list_databases(session) if host in d.hosts), key=lambda d: not d.cluster)
        return replace(at_host[0], host=host) if at_host else None
    found = list_databases(session, words.lower()) if _IDENTIFIER.fullmatch(words) else []
    if not found:
        raise _no_database(session, words)
    if len(found) > 1:
        raise AmbiguousError(
            f'An instance and a cluster are both named "{words}"',
            hint="specify a host name: " + ", ".join(d.host for d in found),
        )
    return found[0]


def check_usable(database: Database) -> None:
    """Raise `UnavailableError` if a database takes no connections now."""
    kind, option = ("cluster", "db-cluster") if database.cluster else ("instance", "db-instance")
    if not database.host:
        raise UnavailableError(f"{database.id} has no endpoint yet: it is {database.status}")
    if database.status in _DOWN:
        start = pins.command("aws", "rds", f"start-{option}", f"--{option}-identifier", database.id)
        raise UnavailableError(
            f"The {kind} {database.id} is {database.status}", hint=start if database.status == "stopped" else None
        )


def reader_of(database: Database) -> str:
    """Return the host name of a cluster's reader endpoint.

    Raises:
        UsageError: It has none.
    """
    if not database.reader_host:
        why = "" if database.cluster else ": it is an instance, not a cluster"
        raise UsageError(
            f"{database.id} has no reader endpoint{why}", hint="omit --reader, or specify the cluster's identifier"
        )
    return database.reader_host


def shown(database: Database) -> tuple[str, ...]:
    """Return what lists show of a database, as `caches.DATABASES` has it."""
    return ("", database.engine, database.status, f"{database.host}:{database.port}" if database.host else "")


def list_databases(session: Session, identifier: str = "") -> list[Database]:
    """Return the instances and clusters of RDS by name; those with an identifier if it is given."""
    rds: Any = session.client("rds")

    def read(operation: str, kind: str, make: Callable[[Any], Database]) -> list[Database]:
        request = {f"{kind}Identifier": identifier} if identifier else {}
        with contextlib.suppress(NotFoundError), translated("look up the databases"):
            pages = rds.get_paginator(operation).paginate(**request)
            return [make(row) for row in pages.build_full_result()[f"{kind}s"]]
        return []

    first, second = both(
        lambda: read("describe_db_instances", "DBInstance", _instance),
        lambda: read("describe_db_clusters", "DBCluster", _cluster),
    )
    rows = {database.id: shown(database) for database in first + second}
    caches.note_names(session, caches.DATABASES, rows, region=session.region)
    return sorted(first + second, key=lambda database: natural_key(database.id))


def _no_database(session: Session, name: str) -> NotFoundError:
    hint = session.command("aws", "rds", "describe-db-instances")
    error = NotFoundError(f'No database named "{name}" in {session.location}', hint=hint)
    names = [database.id for database in list_databases(session)]
    correct(error, name, names)
    if names and not error.correction:
        error.message += f" (known: {folded(names)})"
    return error


def _instance(row: DBInstanceTypeDef) -> Database:
    endpoint = row.get("Endpoint") or {}
    return Database(
        id=row["DBInstanceIdentifier"],
        cluster=False,
        engine=row.get("Engine", ""),
        host=endpoint.get("Address", ""),
        port=int(endpoint.get("Port") or 0),
        status=row.get("DBInstanceStatus", ""),
        security_group_ids=_groups(row),
        availability_zone=row.get("AvailabilityZone", ""),
        master_user=row.get("MasterUsername", ""),
        name=row.get("DBName") or "",
        iam_auth=bool(row.get("IAMDatabaseAuthenticationEnabled")),
    )


def _cluster(row: DBClusterTypeDef) -> Database:
    return Database(
        id=row["DBClusterIdentifier"],
        cluster=True,
        engine=row.get("Engine", ""),
        host=row.get("Endpoint") or "",
        port=int(row.get("Port") or 0),
        status=row.get("Status", ""),
        reader_host=row.get("ReaderEndpoint") or "",
        security_group_ids=_groups(row),
        master_user=row.get("MasterUsername") or "",
        name=row.get("DatabaseName") or "",
        iam_auth=bool(row.get("IAMDatabaseAuthenticationEnabled")),
        custom_hosts=tuple(row.get("CustomEndpoints", [])),
    )


def _groups(row: DBInstanceTypeDef | DBClusterTypeDef) -> tuple[str, ...]:
    return tuple(group["VpcSecurityGroupId"] for group in row.get("VpcSecurityGroups", []))


# The direct way: a database that listens on a port of the service


def direct_target(
    session: Session,
    database: Database,
    host: str,
    *,
    endpoint_id: str = "",
    resolver: Resolver = addresses_of,
    note: Callable[[str], None] = lambda _: None,
) -> Target:
    """Return the target for a tunnel straight to a database.

    Args:
        session: Access to AWS.
        database: The database.
        host: The host name to connect to: the writer's or the reader's.
        endpoint_id: The endpoint to use; empty for the nearest.
        resolver: Resolves the host name.
        note: Takes a sentence if the address is not that of the name.

    Raises:
        EicctlError: The name does not resolve and the address cannot be found otherwise, or there is no endpoint.
    """
    vpc_id = vpc_of(session, database)
    try:
        address = address_of(host, resolver)
    except NotFoundError as error:
        address = _interface_address(session, database, vpc_id, error)
        note(f"{host} does not resolve from this machine; using {address}, the only RDS address with its groups")
    endpoints = [get_endpoint(session, endpoint_id)] if endpoint_id else list_endpoints(session)
    location = TargetLocation(database.id, vpc_id, availability_zone=database.availability_zone)
    endpoint = (
        endpoints[0]
        if endpoint_id
        else choose_endpoint(endpoints, location, address, command=session.command, again=("eicctl", "db", database.id))
    )
    return Target(
        address=address,
        remote_port=database.port,
        endpoint_id=endpoint.id,
        endpoint_dns_name=usable_name(endpoint, fips=session.fips, dualstack=session.dualstack),
        region=session.region,
        instance_name=database.id,
    )


def vpc_of(session: Session, database: Database) -> str:
    """Return the VPC that a database is in: that of its security groups."""
    groups = read_groups(session, database.security_group_ids)
    if not groups:
        raise NotFoundError(f"{database.id} has no security groups, so its VPC is unknown")
    return groups[0].vpc_id


def read_groups(session: Session, group_ids: Sequence[str]) -> list[SecurityGroup]:
    """Return a database's security groups."""
    if not group_ids:
        return []
    with translated("look up the database's security groups"):
        rows = session.client("ec2").describe_security_groups(GroupIds=list(group_ids))["SecurityGroups"]
    return [group_of(row) for row in rows]


def _interface_address(session: Session, database: Database, vpc_id: str, error: NotFoundError) -> str:
    """Return the database's address by its network interface. Routers that drop private addresses from DNS answers
    (against DNS rebinding) are common, and RDS's names have such addresses."""
    filters = {"vpc-id": [vpc_id], "description": ["RDSNetworkInterface"]}
    with translated("look up the database's network interface"):
        client, key = session.client("ec2"), "NetworkInterfaces"
        rows = list(listed(client, "describe_network_interfaces", key, Filters=exact_filters(filters)))
    wanted = set(database.security_group_ids)
    fitting = [
        row["PrivateIpAddress"]
        for row in rows
        if {group["GroupId"] for group in row.get("Groups", [])} == wanted
        and database.availability_zone in ("", row.get("AvailabilityZone"))
    ]
    if len(fitting) != 1:
        found = ", ".join(fitting) or "none"
        line = pins.command("eicctl", "tunnel", "--private-ip-address", "ADDRESS", "--remote-port", database.port)
        raise NotFoundError(
            error.message,
            hint=f"some routers drop private addresses from DNS responses; matching RDS addresses: {found}; {line}",
        ) from error
    return str(fitting[0])
