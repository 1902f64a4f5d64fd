"""`--athena-setup`: the statements for a table over a trail's log files; and whether a table has all of these."""

from __future__ import annotations

from collections.abc import Mapping

import click

from eicctl.audit.athena_setup import (
    Location,
    accounts_in,
    location_of,
    organizations_in,
    parse_location,
    regions_in,
    statements,
)
from eicctl.audit.athena_sql import Logs, Table
from eicctl.aws import athena
from eicctl.aws.session import Session
from eicctl.cli.athena_options import Athena
from eicctl.core.errors import ConflictError, EicctlError, NotFoundError, UsageError
from eicctl.view import messages
from eicctl.view.progress import Waiting


def set_up(session: Session, text: str, wanted: Athena, *, execute: bool) -> None:
    """Print the statements that create a table over the log files of a trail, or run them.

    Raises:
        NotFoundError: The location has no log files.
        ConflictError: A table of this name has log files of another location.
    """
    location, logs = _discovered(session, parse_location(text), wanted.logs)
    steps = statements(location, wanted.table, logs)
    if not execute:
        click.echo("\n\n".join(f"{one};" for one in steps))  # not wrapped: it is pasted elsewhere
        return
    for number, statement in enumerate(steps):
        if number == len(steps) - 1:
            _check_location(session, wanted.table, location)
        query_id = started(session, statement, wanted)
        with Waiting(f"Setting up {wanted.table}"):
            athena.wait(session, query_id, lambda _found: None)
    messages.line(
        f"Table {wanted.table} has the log files of {location} "
        f"(accounts: {len(logs.accounts)}, regions: {len(logs.regions)})"
    )


def started(session: Session, sql: str, wanted: Athena) -> str:
    """Start a query; return the ID of its execution."""
    located = messages.again("--output-location", "s3://BUCKET/PREFIX/")
    return athena.start(session, sql, workgroup=wanted.workgroup, output=wanted.output, located=located)


def _check_location(session: Session, table: Table, location: Location) -> None:
    keys = athena.partition_keys(session, table.database, table.name)
    template = keys[1].get("storage.location.template", "") if keys else ""
    if template and not template.startswith(f"{location}$"):
        other = session.command(
            "eicctl", "audit", "--athena-setup", str(location), "--table", f"{table.database}.OTHER"
        )
        raise ConflictError(f"Table {table} exists, with the log files of {template.partition('$')[0]}", hint=other)


def _discovered(session: Session, location: Location, logs: Logs) -> tuple[Location, Logs]:
    """The location with the organization, and the accounts and regions that were not given, from the folders in S3."""
    if logs.accounts and logs.regions:
        return location, logs
    names = athena.folders(session, location.bucket, location.prefix)
    organizations = organizations_in(names)
    if organizations and not logs.accounts:
        if len(organizations) > 1 or accounts_in(names):
            both = ", ".join([*organizations, *accounts_in(names)[:1]])
            own = session.command("eicctl", "audit", "--athena-setup", f"{location}{organizations[0]}/")
            raise UsageError(f"{location} has log files of several trails: {both}", hint=own)
        location = location.of_organization(organizations[0])
        names = athena.folders(session, location.bucket, location.prefix)
    accounts = logs.accounts or tuple(accounts_in(names))
    regions = logs.regions or _regions(session, location, accounts)
    if not accounts or not regions:
        raise NotFoundError(
            f"No log files of CloudTrail in {location}", hint=session.command("aws", "cloudtrail", "describe-trails")
        )
    return location, Logs(accounts, regions)


def _regions(session: Session, location: Location, accounts: tuple[str, ...]) -> tuple[str, ...]:
    prefixes = [f"{location.prefix}{account}/CloudTrail/" for account in accounts]
    return tuple(sorted(regions_in(athena.folders_of_all(session, location.bucket, prefixes))))


def unprojected(session: Session, table: Table, properties: Mapping[str, str]) -> list[str]:
    """Return notes on accounts and regions that have log files, and are not in a table of `--athena-setup`.

    An audit that silently misses an account would be worse than one that fails.
    """
    location = location_of(properties)
    if not location:
        return []
    try:
        accounts = tuple(accounts_in(athena.folders(session, location.bucket, location.prefix)))
        regions = _regions(session, location, accounts)
    except EicctlError as error:
        return [f"note: cannot check whether {table} has all accounts: {error.message}"]
    notes = []
    for name, found in (("account", accounts), ("region", regions)):
        if missing := sorted({*found} - {*properties.get(f"projection.{name}.values", "").split(",")}):
            some = ", ".join([*missing[:5], *(["…"] if len(missing) > 5 else [])])
            notes.append(f"note: {table} does not have these {name}s of the trail: {some}")
    words = ("--athena-setup", str(location), "--table", str(table), "--execute")
    return [*notes, f"Add them: {session.command('eicctl', 'audit', *words)}"] if notes else []
