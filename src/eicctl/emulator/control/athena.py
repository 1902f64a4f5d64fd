"""Athena: queries run in threads of their own, on DuckDB, over the log files in the emulator's S3.

sqlglot translates the SQL. What a query scans is the size of the files in the partitions that its conditions select.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import sqlglot
from moto.athena.models import athena_backends
from sqlglot import exp

from eicctl.emulator.control.athena_tables import (
    Catalog,
    CatalogTable,
    File,
    QueryFailed,
    converter,
    has_bucket,
    records,
    write,
)
from eicctl.emulator.control.backends import ACCOUNT, LOCK, ApiError, page_of
from eicctl.emulator.control.policy_language import Context, Source, evaluate
from eicctl.emulator.state import State

PAGE = 1_000
"""Rows of a page of GetQueryResults, header included."""

_STEP = 0.02


@dataclass
class Query:
    """A query execution.

    Attributes:
        id: Its ID.
        sql: The statement.
        database: The database of the call's context.
        workgroup: The workgroup.
        output: The object of the result: `s3://BUCKET/KEY`.
        submitted: When it was started.
        policies: The caller's policies; None where there are none to respect.
        context: The values of condition keys for them.
    """

    id: str
    sql: str
    database: str
    workgroup: Any
    output: str
    submitted: datetime
    policies: Sequence[Source] | None = None
    context: Context = field(default_factory=dict)
    state: str = "QUEUED"
    reason: str = ""
    scanned: int = 0
    completed: datetime | None = None
    is_ddl: bool = False
    names: list[str] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def ended(self) -> bool:
        """Whether its state is final."""
        return self.state in ("SUCCEEDED", "FAILED", "CANCELLED")

    def shown(self) -> dict[str, Any]:
        """The execution as GetQueryExecution has it."""
        status: dict[str, Any] = {"State": self.state, "SubmissionDateTime": self.submitted}
        if self.completed:
            status["CompletionDateTime"] = self.completed
        if self.reason:
            status["StateChangeReason"] = self.reason
        return {
            "QueryExecutionId": self.id,
            "Query": self.sql,
            "StatementType": "DDL" if self.is_ddl else "DML",
            "ResultConfiguration": {"OutputLocation": self.output},
            "QueryExecutionContext": {"Database": self.database},
            "Status": status,
            "Statistics": {"DataScannedInBytes": self.scanned},
            "WorkGroup": self.workgroup.name,
        }


def catalog(region: str) -> Catalog:
    """The catalog of a region. It goes with moto's backend, when the world is reset."""
    backend = athena_backends[ACCOUNT][region]
    found: Catalog = backend.__dict__.setdefault("eicctl_catalog", Catalog())
    return found


def start(
    state: State,
    region: str,
    *,
    sql: str,
    database: str,
    workgroup: str,
    output: str,
    policies: Sequence[Source] | None,
    context: Context,
) -> str:
    """Start a query in a thread; return its ID."""
    backend = athena_backends[ACCOUNT][region]
    group = backend.work_groups.get(workgroup or "primary")
    if not group:
        raise ApiError("InvalidRequestException", f"WorkGroup {workgroup} is not found.")
    settings = group.configuration or {}
    own = (settings.get("ResultConfiguration") or {}).get("OutputLocation", "")
    location = own if own and (settings.get("EnforceWorkGroupConfiguration") or not output) else output
    if not location:
        raise ApiError(
            "InvalidRequestException",
            "No output location provided. An output location is required either through the Workgroup result "
            "configuration setting or as an API input.",
        )
    bucket = location.removeprefix("s3://").partition("/")[0]
    if not has_bucket(bucket):
        raise ApiError("InvalidRequestException", f"Unable to verify/create output bucket {bucket}")
    query = Query(str(uuid.uuid4()), sql, database, group, "", state.now(), policies, context)
    query.output = f"{location.rstrip('/')}/{query.id}.csv"
    executions: dict[str, Any] = backend.executions  # moto's own are none that ever ran
    executions[query.id] = query
    threading.Thread(target=_Runner(state, catalog(region), query).run, daemon=True).start()
    return query.id


def find(region: str, query_id: str) -> Query:
    """Return a query execution."""
    found = athena_backends[ACCOUNT][region].executions.get(query_id)
    if not isinstance(found, Query):
        raise ApiError("InvalidRequestException", f"QueryExecution {query_id} was not found")
    return found


def stop(query: Query) -> None:
    """Stop a query."""
    query.stopped.set()
    if not query.ended:
        query.state, query.reason = "CANCELLED", "Query cancelled by user"


def results(query: Query, token: str | None, size: int) -> dict[str, Any]:
    """Return a page of a result. The first row of the first one has the names of the columns."""
    if query.state != "SUCCEEDED":
        message = f"Query has not yet finished. Current state: {query.state}"
        raise ApiError("InvalidRequestException", message)
    page, more = page_of([query.names, *query.rows] if query.names else [], token, size)
    rows = [{"Data": [_datum(value) for value in row]} for row in page]
    columns = [{"Name": name, "Label": name, "Type": "varchar"} for name in query.names]
    return {"ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": columns}}, **more}


def _datum(value: Any) -> dict[str, str]:
    return {} if value is None else {"VarCharValue": _written(value)}


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Stopped(Exception):
    """The query was stopped."""


class _Runner:
    """Runs a query: from QUEUED to its end."""

    def __init__(self, state: State, tables: Catalog, query: Query) -> None:
        self._state = state
        self._catalog = tables
        self._query = query

    def run(self) -> None:
        """Run it; the thread's function."""
        query, begun = self._query, time.monotonic()
        state, reason = "SUCCEEDED", ""
        try:
            self._move("RUNNING")
            self._execute()
            while time.monotonic() - begun < self._state.behavior.athena_seconds:
                self._check()
                query.stopped.wait(_STEP)
        except _Stopped:
            state, reason = "CANCELLED", "Query cancelled by user"
        except QueryFailed as error:
            state, reason = "FAILED", str(error)
        except duckdb.InterruptException:
            state, reason = "CANCELLED", "Query cancelled by user"
        except duckdb.BinderException as error:
            state, reason = "FAILED", f"COLUMN_NOT_FOUND: line 1:1: {str(error).splitlines()[0]}"
        except (sqlglot.ParseError, sqlglot.TokenError, duckdb.ParserException) as error:
            state, reason = "FAILED", f"SYNTAX_ERROR: {str(error).splitlines()[0]}"
        except Exception as error:
            state, reason = "FAILED", f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}"
        with LOCK:
            query.completed = self._state.now()
            query.state, query.reason = state, reason

    def _move(self, state: str) -> None:
        with LOCK:
            self._check()
            self._query.state = state

    def _check(self) -> None:
        if self._query.stopped.is_set():
            raise _Stopped

    def _execute(self) -> None:
        query = self._query
        statement = sqlglot.parse_one(query.sql, read="athena")
        query.is_ddl = isinstance(statement, (exp.Create, exp.Alter, exp.Drop))
        if query.is_ddl:
            with LOCK:
                self._catalog.change(statement)
            query.output = query.output.removesuffix(".csv") + ".txt"
            self._write(b"")
            return
        with tempfile.TemporaryDirectory(prefix="eicctl-athena-") as folder, duckdb.connect(":memory:") as database:
            for table, select in _tables(statement):
                self._load(database, table, select, Path(folder))
            database.execute("SET enable_external_access = false")
            with self._interruptible(database):
                found = database.execute(_translated(statement))
                query.names = [column[0] for column in found.description or ()]
                query.rows = found.fetchall()
        self._write(_csv([query.names, *query.rows]))

    @contextlib.contextmanager
    def _interruptible(self, database: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt DuckDB when the query is stopped."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_STEP):
                if self._query.stopped.is_set():
                    database.interrupt()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _write(self, body: bytes) -> None:
        bucket, _, key = self._query.output.removeprefix("s3://").partition("/")
        if not has_bucket(bucket):
            raise QueryFailed(f"Access denied when writing output to url: {self._query.output}")
        write(bucket, key, body)

    def _load(self, database: duckdb.DuckDBPyConnection, named: exp.Table, select: exp.Select, folder: Path) -> None:
        """Load the records in the partitions that the conditions of a SELECT choose."""
        table = self._catalog.table(named.db or self._query.database or "default", named.name)
        files = _selected(database, table, list(table.files()), select)
        used = {part.name.lower() for column in select.find_all(exp.Column) for part in column.parts}
        whole = bool(select.find(exp.Star))
        columns = {name: kind for name, kind in table.columns.items() if whole or name in used}
        converters = {name: converter(kind) for name, kind in columns.items()}
        path = folder / f"{table.database}.{table.name}"
        encode = msgspec.json.Encoder().encode
        with path.open("wb") as stream:
            for file in files:
                self._check()
                self._may_read(file)
                for record in records(file):
                    given = {key.lower(): value for key, value in record.items()} if isinstance(record, dict) else {}
                    row = {name: convert(given.get(name)) for name, convert in converters.items()}
                    stream.write(encode({**row, **file.values}) + b"\n")
                self._query.scanned += file.size
        types = {name: kind.sql(dialect="duckdb") for name, kind in {**columns, **table.keys}.items()}
        database.execute(f'CREATE SCHEMA IF NOT EXISTS "{table.database}"')
        database.execute(
            f'CREATE TABLE IF NOT EXISTS "{table.database}"."{table.name}" AS '  # noqa: S608 - names of the catalog
            f"SELECT * FROM read_json(?, format='newline_delimited', columns={types!r}, "
            "maximum_object_size=67108864)",
            [str(path)],
        )

    def _may_read(self, file: File) -> None:
        """Athena reads with the caller's permissions."""
        policies, resource = self._query.policies, f"arn:aws:s3:::{file.bucket}/{file.key}"
        if policies is not None and not evaluate(policies, "s3:GetObject", resource, self._query.context).allowed:
            raise QueryFailed(f"Permission denied on S3 path: {file}")


def _translated(statement: exp.Expr) -> str:
    """The statement for DuckDB, whose functions for JSON raise errors where Trino's return NULL for other texts."""
    for call in list(statement.find_all(exp.JSONExtract, exp.JSONExtractScalar)):
        document = call.this
        valid = exp.Case().when(exp.func("json_valid", document.copy()), document.copy())
        call.set("this", exp.Paren(this=valid))
    return statement.sql(dialect="duckdb", comments=False)


def _tables(statement: exp.Expr) -> Iterator[tuple[exp.Table, exp.Select]]:
    """The tables of the catalog that a query reads, each with the SELECT that reads it."""
    steps = {step.alias.lower() for step in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        select = table.find_ancestor(exp.Select)
        if select and (table.db or table.name.lower() not in steps):
            yield table, select


def _selected(
    database: duckdb.DuckDBPyConnection, table: CatalogTable, files: list[File], select: exp.Select
) -> list[File]:
    """The files in the partitions that fulfill the conditions on partition keys alone."""
    where = select.args.get("where")
    parts = list(where.this.flatten()) if where and isinstance(where.this, exp.And) else [where.this] if where else []
    conditions = []
    for part in parts:
        names = {column.name.lower() for column in part.find_all(exp.Column)}
        if names and names <= table.keys.keys():
            conditions.append(part.sql(dialect="duckdb"))
    if not conditions or not files:
        return files
    definitions = ", ".join(f'"{name}" VARCHAR' for name in table.keys)
    database.execute(f"CREATE OR REPLACE TEMP TABLE partitions (place INTEGER, {definitions})")
    marks = ", ".join("?" * (len(table.keys) + 1))
    distinct: dict[tuple[str | None, ...], int] = {}
    for file in files:
        distinct.setdefault(tuple(file.values.get(name) for name in table.keys), len(distinct))
    rows = [(place, *values) for values, place in distinct.items()]
    database.executemany(f"INSERT INTO partitions VALUES ({marks})", rows)  # noqa: S608
    query = f"SELECT place FROM partitions WHERE {' AND '.join(f'({one})' for one in conditions)}"  # noqa: S608
    chosen = {place for (place,) in database.execute(query).fetchall()}
    return [file for file in files if distinct[tuple(file.values.get(name) for name in table.keys)] in chosen]


def _csv(rows: list[Sequence[Any]]) -> bytes:
    """A result as Athena writes it: all values in quotes, and nothing for a NULL."""
    lines = (
        ",".join("" if value is None else '"' + _written(value).replace('"', '""') + '"' for value in row) + "\n"
        for row in rows
    )
    return "".join(lines).encode()
