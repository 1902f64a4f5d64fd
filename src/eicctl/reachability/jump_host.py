"""Which database the user means, and through which instance it is reached: the reading for `database_way`."""

from __future__ import annotations

from eicctl.aws.databases import Database, check_usable, find_database, read_groups
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.core.errors import UsageError
from eicctl.reachability.database_route import Way, choose_instance
from eicctl.support.parallel import both


def locate(session: Session, words: str) -> tuple[Database | None, str, int]:
    """Return the database, if RDS knows it, its host and its port.

    Args:
        session: Access to AWS.
        words: An identifier, an ARN, or a host name, which may have a port (`HOST:PORT`).

    Raises:
        EicctlError: There is no such database, it takes no connections now, or its port is not known.
    """
    name, colon, digits = words.rpartition(":")
    given = 0
    if colon and digits.isdigit() and "." in name:
        words, given = name, int(digits)
    found = find_database(session, words)
    if found:
        check_usable(found)
        return found, found.host, given or found.port
    if not given:
        raise UsageError(
            f"RDS knows no database with the host name {words} in {session.region}",
            hint=f"is the region right? For any other host: {words}:PORT, with --via INSTANCE",
        )
    return None, words, given


def instance_for(session: Session, database: Database | None, port: int) -> Way:
    """Return an instance that may connect to a database, and why.

    Raises:
        UsageError: RDS does not know the database, or it is in no VPC.
        NotFoundError: There is no such instance.
    """
    if database is None:
        raise UsageError(
            "RDS does not know this host, so no instance can be chosen",
            hint="--via INSTANCE names the one to go through",
        )
    groups, (instances, endpoints) = both(
        lambda: read_groups(session, database.security_group_ids),
        lambda: both(
            lambda: list_instances(session, filters={"instance-state-name": ["running"]}),
            lambda: list_endpoints(session),
        ),
    )
    if not groups:
        raise UsageError(f"{database.id} is in no VPC", hint="--via INSTANCE names the one to go through")
    return choose_instance(
        instances,
        groups,
        endpoints,
        vpc_id=groups[0].vpc_id,
        port=port,
        availability_zone=database.availability_zone,
        label=database.id,
    )
