"""Queries of Amazon Athena: start, watch, stop, read the result; the partition keys of a table; folders in S3."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from eicctl.aws.errors import code_of, translated
from eicctl.aws.session import Session
from eicctl.core.errors import DeniedError, EicctlError, NotFoundError, RefusedError, UsageError
from eicctl.support.clock import Backoff
from eicctl.support.threads import Pool

if TYPE_CHECKING:
    from mypy_boto3_athena.type_defs import QueryExecutionTypeDef, StartQueryExecutionInputTypeDef

CATALOG = "AwsDataCatalog"
"""Athena's name for the AWS Glue Data Catalog."""

DOLLARS = 5.0
"""The price of a TB scanned, in most regions; a query is charged for at least 10 MB (aws.amazon.com/athena/pricing)."""

_TB, _MINIMUM = 2**40, 10 * 2**20
_LONGEST_FIELD = 16 * 2**20
_PAGE = 1_000
"""Rows of a page of GetQueryResults, the most that the service gives."""

_ID = re.compile(r"[0-9a-zA-Z-]{1,128}")
_QUERY = "query Athena"


def cost(scanned: int) -> float:
    """Return about how many US dollars Athena charges for the bytes that a query has scanned."""
    return max(scanned, _MINIMUM) / _TB * DOLLARS


@dataclass(frozen=True, slots=True)
class Execution:
    """A query execution.

    Attributes:
        id: Its ID.
        state: `QUEUED`, `RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELLED`.
        sql: The query.
        scanned: Bytes scanned so far.
        reason: Why it has failed, or was canceled.
        output: The object in S3 that has the result; empty where Athena manages results itself.
    """

    id: str
    state: str
    sql: str
    scanned: int
    reason: str = ""
    output: str = ""

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ("SUCCEEDED", "FAILED", "CANCELLED")


def partition_keys(session: Session, database: str, table: str) -> tuple[list[str], Mapping[str, str]] | None:
    """Return a table's partition keys and properties; None where the caller may not read them.

    Raises:
        NotFoundError: The table does not exist.
    """
    try:
        with translated(f"read the table {database}.{table}"):
            found = session.client("athena").get_table_metadata(
                CatalogName=CATALOG, DatabaseName=database, TableName=table
            )["TableMetadata"]
    except DeniedError:
        return None
    except EicctlError as error:
        # Errors of the Glue Data Catalog have their codes in the message.
        if code_of(error) == "MetadataException" and "EntityNotFound" in error.message:
            raise _no_table(session, f"{database}.{table}") from error
        if code_of(error) == "MetadataException" and "AccessDenied" in error.message:
            return None
        raise
    return [key["Name"] for key in found.get("PartitionKeys", [])], found.get("Parameters", {})


def _no_table(session: Session, table: str) -> NotFoundError:
    setup = session.command("eicctl", "audit", "--athena-setup", "s3://BUCKET/PREFIX", "--table", table)
    return NotFoundError(f"Athena has no table {table} in {session.location}", hint=setup)


def start(session: Session, sql: str, *, workgroup: str = "", output: str = "", located: str = "") -> str:
    """Start a query; return the ID of its execution.

    Args:
        session: Access to AWS.
        sql: The query, or another statement.
        workgroup: The workgroup; `primary` if empty.
        output: Where in S3 results go (`s3://BUCKET/PREFIX/`); the workgroup's location if empty.
        located: The caller's command with an output location, for the hint where one is missing.

    Raises:
        UsageError: Neither the workgroup nor the caller specifies where results go.
        NotFoundError: The workgroup does not exist.
    """
    request: StartQueryExecutionInputTypeDef = {"QueryString": sql}
    if workgroup:
        request["WorkGroup"] = workgroup
    if output:
        request["ResultConfiguration"] = {"OutputLocation": output}
    try:
        with translated(_QUERY):
            return session.client("athena").start_query_execution(**request)["QueryExecutionId"]
    except RefusedError as error:
        if "No output location provided" in error.message:
            name = workgroup or "primary"
            raise UsageError(f"The Athena workgroup {name} has no location for query results", hint=located) from error
        if bucket := re.search(r"output bucket ([\w.-]+)", error.message):
            error.hint = session.command("aws", "s3api", "get-bucket-location", "--bucket", bucket[1])
        if "WorkGroup" in error.message and "not" in error.message:
            raise NotFoundError(
                f"No Athena workgroup named {workgroup!r} in {session.location}",
                hint=session.command("aws", "athena", "list-work-groups"),
            ) from error
        raise


def execution(session: Session, query_id: str) -> Execution:
    """Return the state of a query.

    Raises:
        NotFoundError: It does not exist, or is too old (45 days).
    """
    if not _ID.fullmatch(query_id):
        raise UsageError(
            f"Invalid query execution ID {query_id!r}", hint=session.command("aws", "athena", "list-query-executions")
        )
    try:
        with translated("read the state of the query"):
            found = session.client("athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    except RefusedError as error:
        if code_of(error) == "InvalidRequestException":
            raise NotFoundError(
                f"No Athena query {query_id} in {session.location}",
                hint=session.command("aws", "athena", "list-query-executions"),
            ) from error
        raise
    return _execution(query_id, found)


def _execution(query_id: str, found: QueryExecutionTypeDef) -> Execution:
    status = found.get("Status", {})
    reason = status.get("StateChangeReason") or status.get("AthenaError", {}).get("ErrorMessage", "")
    return Execution(
        query_id,
        status.get("State", "QUEUED"),
        found.get("Query", ""),
        found.get("Statistics", {}).get("DataScannedInBytes", 0),
        reason,
        found.get("ResultConfiguration", {}).get("OutputLocation", ""),
    )


def wait(session: Session, query_id: str, show: Callable[[Execution], None]) -> Execution:
    """Wait until a query has succeeded; return its last state.

    Args:
        session: Access to AWS.
        query_id: The execution.
        show: Called with each state.

    Raises:
        EicctlError: It has failed, or was canceled.
    """
    backoff, pause = Backoff(0.1, 2.0, jitter=0), threading.Event()
    while not (found := execution(session, query_id)).ended:
        show(found)
        pause.wait(backoff.pause())
    show(found)
    if found.state != "SUCCEEDED":
        raise _failure(session, found)
    return found


def stop(session: Session, query_id: str) -> None:
    """Stop a query."""
    with translated("stop the query"):
        session.client("athena").stop_query_execution(QueryExecutionId=query_id)


_MISSING_TABLE = re.compile(r"TABLE_NOT_FOUND.*?'(?:awsdatacatalog\.)?([^']+)'", re.IGNORECASE)


def _failure(session: Session, found: Execution) -> EicctlError:
    """The error of a query that has ended without a result."""
    reason = found.reason or "Athena gives no reason"
    text = f"Athena's query {found.id} failed: {reason}"
    details = session.command("aws", "athena", "get-query-execution", "--query-execution-id", found.id)
    if found.state == "CANCELLED":
        return RefusedError(f"Athena's query {found.id} was canceled: {reason}", hint=details)
    if missing := _MISSING_TABLE.search(reason):
        return _no_table(session, missing[1])
    if "COLUMN_NOT_FOUND" in reason:
        other = session.command("eicctl", "audit", "--athena-setup", "s3://BUCKET/PREFIX", "--table", "DATABASE.OTHER")
        return RefusedError(text, hint=other)
    if re.search("permission|access ?denied|not authorized", reason, re.IGNORECASE):
        return DeniedError(
            text, hint="Athena reads logs and writes results with the caller's permissions in S3 and Glue"
        )
    if reason.startswith(("HIVE_CURSOR_ERROR", "HIVE_BAD_DATA", "HIVE_CANNOT_OPEN_SPLIT")):
        damaged = re.search(r"s3://[^\s'\"]+\.gz", reason)
        path = damaged[0] if damaged else "s3://BUCKET/PREFIX"
        return RefusedError(text, hint=session.command("eicctl", "audit", "--from", path))
    return RefusedError(text, hint=details)


# The result


def rows(session: Session, found: Execution) -> Iterator[dict[str, str]]:
    """Yield the rows of a result, by column; a NULL is an empty text.

    From the object in S3, which takes one request, or else from GetQueryResults, a thousand rows a request.
    """
    if found.output.startswith("s3://"):
        bucket, _, key = found.output.removeprefix("s3://").partition("/")
        try:
            with translated(f"read {found.output}"):
                body: Any = session.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
        except EicctlError as error:
            if code_of(error) not in ("AccessDenied", "NoSuchKey", "NoSuchBucket"):
                raise  # otherwise the pages may be allowed, or still there
        else:
            yield from _from_csv(body, found.output)
            return
    yield from _from_pages(session, found.id)


def _from_csv(body: Any, location: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    with translated(f"read {location}"):
        text = io.TextIOWrapper(io.BufferedReader(body, 256 * 1024), encoding="utf-8", newline="")
        yield from _by_column(csv.reader(text))


def _from_pages(session: Session, query_id: str) -> Iterator[dict[str, str]]:
    with translated("read the result of the query"):
        results = session.client("athena").get_paginator("get_query_results")
        pages = results.paginate(QueryExecutionId=query_id, PaginationConfig={"PageSize": _PAGE})
        rows = (row["Data"] for page in pages for row in page["ResultSet"]["Rows"])
        yield from _by_column([value.get("VarCharValue", "") for value in row] for row in rows)


def _by_column(rows: Iterator[list[str]]) -> Iterator[dict[str, str]]:
    """Yield rows by column; the first one has the names."""
    names = next(rows, [])
    for values in rows:
        yield dict(zip(names, values, strict=True))


# Where log files are


_AHEAD = 16
"""Folders that are listed at the same time."""


def folders(session: Session, bucket: str, prefix: str) -> list[str]:
    """Return the names of the folders below a prefix, which ends with a slash."""
    with translated(f"list s3://{bucket}/{prefix}"):
        pages = (
            session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        )
        found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
    return [name.removeprefix(prefix).rstrip("/") for name in found]


def folders_of_all(session: Session, bucket: str, prefixes: Iterable[str]) -> set[str]:
    """Return the names of the folders below any of some prefixes."""
    with Pool(_AHEAD) as pool:
        pending = [pool.submit(partial(folders, session, bucket, prefix)) for prefix in prefixes]
        return {name for one in pending for name in one.result()}
