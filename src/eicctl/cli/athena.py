"""`--athena` of `audit` and `policy connect --from-audit`: run the query, show what it costs, stop it, resume it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import click

from eicctl.audit import athena_setup
from eicctl.audit.athena import load
from eicctl.audit.athena_sql import (
    DEFAULT_TABLE,
    LAYOUT,
    Layout,
    Logs,
    Table,
    filters_of,
    layout_of,
    parse_table,
    query,
)
from eicctl.audit.correlation import Directory
from eicctl.audit.filters import Choice
from eicctl.audit.store import EventStore
from eicctl.aws import athena
from eicctl.aws.session import Session
from eicctl.core.errors import ConflictError, CredentialsError, EicctlError, NetworkError, NotFoundError, UsageError
from eicctl.support import pins
from eicctl.view import messages
from eicctl.view.progress import Waiting

_REGION = r"[a-z]{2,8}(?:-[a-z]+)+-\d{1,2}"


@dataclass(frozen=True, slots=True)
class Athena:
    """The options of a query.

    Attributes:
        table: The table of CloudTrail's logs.
        workgroup: The workgroup; empty for `primary`.
        output: Where in S3 results go; empty for the workgroup's location.
        logs: The accounts and regions.
        query_id: The execution to resume; empty to start a query.
        print_sql: Only print the query.
    """

    table: Table
    workgroup: str
    output: str
    logs: Logs
    query_id: str
    print_sql: bool

    def words(self) -> list[str]:
        """The options with which a resumed command finds the query's result."""
        return ["--workgroup", self.workgroup] if self.workgroup else []


def athena_of(
    *,
    table: str | None,
    workgroup: str | None,
    output_location: str | None,
    log_account: tuple[str, ...],
    log_region: tuple[str, ...],
    query_id: str | None,
    print_sql: bool,
) -> Athena:
    """Return the options of a query.

    Raises:
        UsageError: One is invalid.
    """
    return Athena(
        parse_table(table) if table else DEFAULT_TABLE,
        workgroup or "",
        _checked_output(output_location or ""),
        _checked_logs(log_account, log_region),
        query_id or "",
        print_sql,
    )


def _checked_output(text: str) -> str:
    if text and not text.removeprefix("s3://").partition("/")[0]:
        raise UsageError(f"{text} has no bucket name", hint="s3://BUCKET/PREFIX/")
    if text and not text.startswith("s3://"):
        raise UsageError(f"invalid --output-location {text!r}", hint="s3://BUCKET/PREFIX/")
    return text


def _checked_logs(accounts: tuple[str, ...], regions: tuple[str, ...]) -> Logs:
    for option, values, form in (("account", accounts, r"\d{12}"), ("region", regions, _REGION)):
        for value in values:
            if not re.fullmatch(form, value, re.ASCII):
                raise UsageError(f"invalid --log-{option} {value!r}", hint="123456789012, and us-east-1")
    return Logs(accounts, regions)


def sql_to_print(wanted: Athena, choice: Choice) -> str:
    """Return the query for a table of `--athena-setup`; no AWS call is made."""
    return query(wanted.table, LAYOUT, choice, wanted.logs)


def check_filters(wanted: Athena, given: Mapping[str, object]) -> None:
    """Refuse filters beside the ID of a query, which has its own.

    Raises:
        UsageError: One is given.
    """
    own = {
        "--table": wanted.table != DEFAULT_TABLE,
        "--log-account": wanted.logs.accounts,
        "--log-region": wanted.logs.regions,
    }
    for option, value in {**given, **own}.items():
        if value:
            raise UsageError(
                f"--query-id and {option} cannot be combined",
                hint=pins.command("eicctl", "audit", "--athena", "--query-id", wanted.query_id),
            )


def read_result(
    session: Session, wanted: Athena, choice: Choice, store: EventStore, again: tuple[str, ...]
) -> tuple[Directory, Choice]:
    """Run a query, or resume one, and read its result into the store.

    Args:
        session: Access to AWS.
        wanted: The options.
        choice: The filters of a new query.
        store: Where events go.
        again: The command that resumes, without the ID: `eicctl audit …`.

    Returns:
        Who had which address, and the filters: those of the query that is resumed.
    """
    query_id = wanted.query_id
    if query_id:
        choice = _filters(session, query_id)
    else:
        sql = query(wanted.table, _layout(session, wanted), choice, wanted.logs)
        query_id = athena.start(session, sql, workgroup=wanted.workgroup, output=wanted.output)
        messages.explain(f"Athena query {query_id}")
    resume = session.command(*again, *wanted.words(), "--query-id", query_id)
    found = _wait(session, query_id, resume)
    with _resumable(resume), Waiting("Reading the query's result") as waiting:
        count = _Counted(athena.rows(session, found), waiting.show)
        directory = load(count, store, choice)
    messages.line(f"Athena query: scanned {_bytes(found.scanned)}, {_cost(found.scanned)}; rows: {count.rows:,}")
    return directory, choice


def _filters(session: Session, query_id: str) -> Choice:
    filters = filters_of(athena.execution(session, query_id).sql)
    if not filters:
        listing = session.command("aws", "athena", "get-query-execution", "--query-execution-id", query_id)
        raise UsageError(f"Athena's query {query_id} is not one of eicctl audit", hint=listing)
    return filters[0]


def _layout(session: Session, wanted: Athena) -> Layout:
    keys = athena.partition_keys(session, wanted.table.database, wanted.table.name)
    if keys is None:
        messages.line(f"note: cannot read the partition keys of {wanted.table} (glue:GetTable); assuming {_DEFAULT}")
        return LAYOUT
    layout = layout_of(*keys)
    if not layout.day:
        messages.line(
            f"note: {wanted.table} has no partitions by day: Athena scans, and charges for, all its log files"
        )
    if layout.needs_account and not wanted.logs.accounts:
        raise UsageError(f"Queries of {wanted.table} must name accounts", hint="--log-account ID")
    return layout


_DEFAULT = "account, region, day"


@contextlib.contextmanager
def _resumable(resume: str) -> Iterator[None]:
    """Print the command that resumes, where an interruption does not end the query."""
    try:
        yield
    except (KeyboardInterrupt, NetworkError, CredentialsError):
        messages.line("Athena keeps the query's result, of a running query, too")
        messages.line(f"Resume: {resume}")
        raise


def _wait(session: Session, query_id: str, resume: str) -> athena.Execution:
    """Wait for a query; Ctrl-C stops it."""
    scanned = 0

    def show(found: athena.Execution) -> None:
        nonlocal scanned
        scanned = found.scanned
        seen = f", scanned {_bytes(scanned)}, {_cost(scanned)}" if scanned else ""
        waiting.show(f"{found.state.lower()}{seen}")

    try:
        with Waiting("Querying Athena") as waiting:
            return athena.wait(session, query_id, show)
    except KeyboardInterrupt:
        _stop(session, query_id, scanned)
        raise
    except (NetworkError, CredentialsError):
        with _resumable(resume):
            raise


def _stop(session: Session, query_id: str, scanned: int) -> None:
    try:
        athena.stop(session, query_id)
    except EicctlError as error:
        command = session.command("aws", "athena", "stop-query-execution", "--query-execution-id", query_id)
        messages.line(f"{error.message}; it continues. Stop it: {command}")
    else:
        messages.line(f"Stopped the query; it had scanned {_bytes(scanned)}, {_cost(scanned)}")


class _Counted:
    """Rows, counted while they are read."""

    def __init__(self, rows: Iterator[dict[str, str]], say: Callable[[str], None]) -> None:
        self.rows = 0
        self._rows = rows
        self._say = say

    def __iter__(self) -> Iterator[dict[str, str]]:
        for row in self._rows:
            self.rows += 1
            if self.rows % 10_000 == 0:
                self._say(f"{self.rows:,} rows")
            yield row


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"


def _cost(scanned: int) -> str:
    dollars = athena.cost(scanned)
    return f"about {dollars:.2f} USD" if dollars >= 0.01 else "less than 0.01 USD"


# The table


def set_up(session: Session, text: str | None, wanted: Athena | None, *, execute: bool) -> None:
    """Print the statements that create a table over the log files of a trail, or run them.

    Raises:
        NotFoundError: The location has no log files.
        ConflictError: A table of this name has log files of another location.
    """
    if not text:
        raise UsageError("--execute requires --athena-setup", hint="eicctl audit --athena-setup s3://BUCKET/PREFIX")
    wanted = wanted or Athena(DEFAULT_TABLE, "", "", Logs(), "", print_sql=False)
    location, logs = _discovered(session, athena_setup.parse_location(text), wanted.logs)
    statements = athena_setup.statements(location, wanted.table, logs)
    if not execute:
        click.echo("\n\n".join(f"{one};" for one in statements))  # not wrapped: it is pasted elsewhere
        return
    for number, statement in enumerate(statements):
        if number == len(statements) - 1:
            _check_location(session, wanted.table, location)
        query_id = athena.start(session, statement, workgroup=wanted.workgroup, output=wanted.output)
        with Waiting(f"Setting up {wanted.table}"):
            athena.wait(session, query_id, lambda _found: None)
    messages.line(
        f"Table {wanted.table} has the log files of {location} "
        f"(accounts: {len(logs.accounts)}, regions: {len(logs.regions)})"
    )


def _check_location(session: Session, table: Table, location: athena_setup.Location) -> None:
    keys = athena.partition_keys(session, table.database, table.name)
    template = keys[1].get("storage.location.template", "") if keys else ""
    if template and not template.startswith(f"{location}$"):
        other = session.command(
            "eicctl", "audit", "--athena-setup", str(location), "--table", f"{table.database}.OTHER"
        )
        raise ConflictError(f"Table {table} exists, with the log files of {template.partition('$')[0]}", hint=other)


def _discovered(session: Session, location: athena_setup.Location, logs: Logs) -> tuple[athena_setup.Location, Logs]:
    """The location with the organization, and the accounts and regions that were not given, from the folders in S3."""
    if logs.accounts and logs.regions:
        return location, logs
    names = athena.folders(session, location.bucket, location.prefix)
    organizations = athena_setup.organizations_in(names)
    if organizations and not logs.accounts:
        if len(organizations) > 1 or athena_setup.accounts_in(names):
            both = ", ".join([*organizations, *athena_setup.accounts_in(names)[:1]])
            own = session.command("eicctl", "audit", "--athena-setup", f"{location}{organizations[0]}/")
            raise UsageError(f"{location} has log files of several trails: {both}", hint=own)
        location = location.of_organization(organizations[0])
        names = athena.folders(session, location.bucket, location.prefix)
    accounts = logs.accounts or tuple(athena_setup.accounts_in(names))
    regions = logs.regions or tuple(
        sorted(
            {
                region
                for account in accounts
                for region in athena.folders(session, location.bucket, f"{location.prefix}{account}/CloudTrail/")
                if re.fullmatch(_REGION, region)
            }
        )
    )
    if not accounts or not regions:
        raise NotFoundError(
            f"No log files of CloudTrail in {location}",
            hint=session.command("aws", "cloudtrail", "describe-trails"),
        )
    return location, Logs(accounts, regions)
