"""`--athena` of `audit` and `policy connect --from-audit`: run the query, show what it costs, stop it, resume it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from eicctl.audit.athena import load
from eicctl.audit.athena_sql import (
    DEFAULT_TABLE,
    LAYOUT,
    Layout,
    filters_of,
    layout_of,
    query,
)
from eicctl.audit.correlation import Directory
from eicctl.audit.filters import Choice
from eicctl.audit.store import EventStore
from eicctl.aws import athena
from eicctl.aws.session import Session
from eicctl.cli import options
from eicctl.cli.athena_options import Athena
from eicctl.cli.athena_setup import started, unprojected
from eicctl.core.errors import CredentialsError, EicctlError, NetworkError, UsageError
from eicctl.core.names import counted
from eicctl.support.signals import end_by_exception
from eicctl.support.threads import begin
from eicctl.view import messages
from eicctl.view.progress import Waiting


def sql_to_print(wanted: Athena, choice: Choice) -> str:
    """Return the query for a table of `--athena-setup`; no AWS call is made."""
    return query(wanted.table, LAYOUT, choice, wanted.logs)


_FILTERS = ("--since", "--until", "--user", "--target", "--endpoint", "--denied")
_LOGS = ("--table", "--log-account", "--log-region")


def check_filters(wanted: Athena, given: Mapping[str, object]) -> None:
    """Refuse filters beside the ID of a query, which has its own.

    Raises:
        UsageError: One is given.
    """
    logs = (wanted.table != DEFAULT_TABLE, wanted.logs.accounts, wanted.logs.regions)
    others = {**given, **dict(zip(_LOGS, logs, strict=True))}
    options.refuse_together("--query-id", others, messages.again(without=(*_FILTERS, *_LOGS)))


def read_result(session: Session, wanted: Athena, choice: Choice, store: EventStore) -> tuple[Directory, Choice]:
    """Run a query, or resume one, and read its result into the store.

    Args:
        session: Access to AWS.
        wanted: The options.
        choice: The filters of a new query.
        store: Where events go.

    Returns:
        Who had which address, and the filters: those of the query that is resumed.
    """
    query_id, notes = wanted.query_id, None
    if query_id:
        choice = _filters(session, query_id)
    else:
        layout, properties = _layout(session, wanted)
        notes = begin(partial(unprojected, session, wanted.table, properties))
        sql = query(wanted.table, layout, choice, wanted.logs)
        query_id = started(session, sql, wanted)
        messages.explain(f"Athena query {query_id}")
    without = (*_FILTERS, *_LOGS, "--output-location", "--query-id")
    resume = messages.again("--query-id", query_id, without=without)
    found = _wait(session, query_id, resume)
    with _resumable(resume, "keeps the result of the query"), Waiting("Reading the query's result") as waiting:
        count = _Counted(athena.rows(session, found), waiting.show)
        directory = load(count, store, choice)
    for note in notes.result() if notes else ():
        messages.line(note)
    messages.line(f"Athena query: scanned {_bytes(found.scanned)}, {_cost(found.scanned)}; rows: {count.rows:,}")
    return directory, choice


def _filters(session: Session, query_id: str) -> Choice:
    filters = filters_of(athena.execution(session, query_id).sql)
    if not filters:
        listing = session.command("aws", "athena", "get-query-execution", "--query-execution-id", query_id)
        raise UsageError(f"Athena's query {query_id} is not one of eicctl audit", hint=listing)
    return filters[0]


def _layout(session: Session, wanted: Athena) -> tuple[Layout, Mapping[str, str]]:
    """The partition keys of the table, and its properties."""
    keys = athena.partition_keys(session, wanted.table.database, wanted.table.name)
    if keys is None:
        messages.line(
            f"note: cannot read the partition keys of {wanted.table} (glue:GetTable); assuming those of --athena-setup"
        )
        return LAYOUT, {}
    layout = layout_of(*keys)
    if not layout.day:
        messages.line(
            f"note: {wanted.table} has no partitions by day: Athena scans, and charges for, all its log files"
        )
    if layout.needs_account and not wanted.logs.accounts:
        hint = messages.again("--log-account", "123456789012")
        raise UsageError(f"Queries of {wanted.table} must name accounts", hint=hint)
    return layout, keys[1]


@contextlib.contextmanager
def _resumable(resume: str, still: str) -> Iterator[None]:
    """Print the command that resumes, where an interruption does not end the query."""
    try:
        yield
    except (KeyboardInterrupt, NetworkError, CredentialsError):
        messages.line(f"Athena {still}")
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
        # A query that nobody reads should not cost more.
        with end_by_exception(lambda _: KeyboardInterrupt()), Waiting("Querying Athena") as waiting:
            return athena.wait(session, query_id, show)
    except KeyboardInterrupt:
        _stop(session, query_id, scanned)
        raise
    except (NetworkError, CredentialsError):
        with _resumable(resume, "continues the query"):
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
                self._say(counted(self.rows, "row"))
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
