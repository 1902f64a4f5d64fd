"""`eicctl audit`: fetch events, print them, write a report, follow new ones."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn

import click
from click.core import ParameterSource

from eicctl.audit.correlation import AFTER, BEFORE, Directory, Row
from eicctl.audit.fetch import (
    KEPT,
    OVERLAP,
    Follower,
    Say,
    Scope,
    Source,
    checkpoint,
    known_addresses,
    look_up,
    merged_rows,
)
from eicctl.audit.filters import Choice, moment
from eicctl.audit.log_files import Reader
from eicctl.audit.page import Heading, page
from eicctl.audit.store import EventStore
from eicctl.audit.summary import OfficeHours, Summary
from eicctl.aws.accounts import ALL, Account, Failure, Selection, matching_profiles, open_accounts
from eicctl.aws.regions import used_regions
from eicctl.aws.session import Session
from eicctl.cli import account_options, options
from eicctl.cli.athena import check_filters, read_result, sql_to_print
from eicctl.cli.athena_options import Athena, athena_of, athena_options
from eicctl.cli.athena_setup import set_up
from eicctl.cli.param_types import ENDPOINT, FILE, INSTANCE, Number
from eicctl.core.errors import EicctlError, NetworkError, ThrottledError, UsageError
from eicctl.core.names import counted
from eicctl.support import files
from eicctl.support.threads import Pool, for_each
from eicctl.view import messages
from eicctl.view.audit import printer, show_rows
from eicctl.view.progress import Waiting


@dataclass(frozen=True, slots=True)
class Task:
    """The parameters of a run: the filters, the time of the call, and what to print and to write."""

    choice: Choice
    now: datetime
    rows: bool
    output: str
    query: str | None
    report_file: Path | None
    hours: OfficeHours


def from_files(session: Session, paths: tuple[str, ...], task: Task) -> int:
    """Audit log files. The exit code is 1 where one is truncated or malformed."""
    with EventStore() as store:
        directory, damaged = read_files(session, paths, task.choice, store)
        gaps = [f"{name} is truncated or malformed" for name in damaged]
        _deliver([Source(store, directory)], task, f"log files of {', '.join(paths)}", gaps)
    return 1 if damaged else 0


def read_files(
    session: Session, paths: tuple[str, ...], choice: Choice, store: EventStore
) -> tuple[Directory, list[str]]:
    """Read log files into a store; return who had which address, and the files that are truncated or malformed."""
    with Waiting("Reading log files") as waiting:
        tally = Reader(store, choice, waiting.show, messages.line).read(session, paths)
    older = f", older files skipped: {tally.skipped:,}" if tally.skipped else ""
    messages.line(f"log files: {tally.files:,}{older}; records: {tally.records:,}")
    directory = Directory()
    directory.learn(store.lives())
    return directory, tally.damaged


def from_aws(
    session: Session, selected: Selection, task: Task, *, all_regions: bool, follow_every: float | None
) -> int:
    """Audit the event history. The exit code is 1 where a region or an account did not respond."""
    note_limit(task.choice.since or task.now, task.now)
    with contextlib.ExitStack() as stack:
        with Waiting("Reading CloudTrail", interrupted=INTERRUPTED) as waiting:
            opened = open_accounts(session, selected)
            found = _fetch_all(opened.accounts, selected, task, waiting.show, stack, all_regions=all_regions)
        fetched = [each for each in found if isinstance(each, _Fetched)]
        failures = [*opened.failures, *(each for each in found if isinstance(each, Failure))]
        failures += [failure for each in fetched for failure in each.failures]
        code = account_options.report(selected, failures)
        if follow_every is not None:
            _follow(fetched, task, follow_every)
        regions = {region for each in fetched for region in each.scope.regions}
        where = next(iter(regions)) if len(regions) == 1 else f"{len(regions)} regions"
        where += f" of {len(fetched)} accounts" if selected.several else ""
        gaps = [account_options.line(selected, failure) for failure in failures]
        try:
            sources = [each.source for each in fetched]
            heading = next(iter(account_options.columns(selected)), "")
            _deliver(sources, task, f"CloudTrail's event history of {where}", gaps, accounts=heading)
        finally:
            for each in fetched:
                each.source.store.discard()
    return code


def note_limit(since: datetime, now: datetime) -> None:
    """Print a note if the event history does not reach back as far."""
    if since < now - KEPT:
        messages.line("CloudTrail's event history covers 90 days; for older ones, read a trail's log files with --from")


@dataclass(frozen=True, slots=True)
class _Fetched:
    """The events of an account, and its regions that did not respond."""

    scope: Scope
    source: Source
    failures: list[Failure]


_ACCOUNTS_AT_ONCE = 4
"""Accounts that are read at the same time, each with all of its regions: CloudTrail's limit is for each of these."""


def _fetch_all(
    accounts: Sequence[Account],
    selected: Selection,
    task: Task,
    say: Say,
    stack: contextlib.ExitStack,
    *,
    all_regions: bool,
) -> list[_Fetched | Failure]:
    """Read accounts, several at once; one alone raises its error. An interruption stops all of them."""
    stop = threading.Event()

    def fetch(account: Account) -> _Fetched | Failure:
        prefix = f"{account.label}: " if selected.several else ""
        try:
            regions = tuple(used_regions(account.session)) if all_regions else (account.session.region,)
            store = stack.enter_context(checkpoint(account.session))
            scope = Scope(account.session, regions, lambda text: say(prefix + text), messages.line, stop)
            profile = account.profile if selected.several and not selected.accounts else ""
            fetched = _fetch(scope, store, account, profile, task)
            if selected.several:  # descriptors are fewer than the regions of all accounts
                for region in regions:
                    account.session.close(region)
            return fetched
        except EicctlError as error:
            if not selected.several:
                raise
            return Failure(account, error)

    if not selected.several:
        return [fetch(account) for account in accounts]
    try:
        with Pool(_ACCOUNTS_AT_ONCE) as pool:
            return [future.result() for future in [pool.submit(partial(fetch, each)) for each in accounts]]
    except BaseException:
        stop.set()
        raise


def _fetch(scope: Scope, store: EventStore, account: Account, profile: str, task: Task) -> _Fetched:
    """Read an account's events, and who has which address."""
    if len(store):
        messages.line(f"Resuming an interrupted lookup ({counted(len(store), 'event')} already fetched)")
    since = task.choice.since or task.now
    # A little more than the period, for the keys of tunnels at its edges.
    span = (max(since - BEFORE, task.now - KEPT), min((task.choice.until or task.now) + AFTER, task.now))
    try:
        failures = look_up(scope, store, span, task.now)
    except EicctlError:
        if len(store):
            messages.line(INTERRUPTED)
        raise
    directory = known_addresses(scope, store, task.now)
    unread = [Failure(account, error, region) for region, error in failures.items()]
    return _Fetched(scope, Source(store, directory, account.name, profile), unread)


def from_athena(session: Session, wanted: Athena, task: Task) -> int:
    """Audit a trail's log files by a query of Athena."""
    with EventStore() as store:
        directory, choice = read_result(session, wanted, task.choice, store)
        source = f"query {wanted.query_id}" if wanted.query_id else f"table {wanted.table}"
        _deliver([Source(store, directory)], replace(task, choice=choice), f"Athena {source}", [])
    return 0


INTERRUPTED = "Results so far are saved; repeat the command within a day to resume"


def _deliver(sources: Sequence[Source], task: Task, origin: str, gaps: list[str], *, accounts: str = "") -> None:
    if task.report_file:
        _write_report(sources, task, origin, gaps)
    if task.rows:
        rows = merged_rows(sources, task.choice)
        if task.output == "table" or task.query or not sys.stdout.isatty():
            rows = _counted(rows, "Correlating events")
        count = show_rows(rows, output=task.output, query=task.query, accounts=accounts)
        if not count and task.output == "table":
            messages.line("No matching events")


def _counted(rows: Iterator[Row], what: str) -> Iterator[Row]:
    """Show how many rows there are so far."""
    with Waiting(what) as waiting:
        for number, row in enumerate(rows, 1):
            if number % 10_000 == 0:
                waiting.show(counted(number, "event"))
            yield row


def _write_report(sources: Sequence[Source], task: Task, origin: str, gaps: list[str]) -> None:
    assert task.report_file  # noqa: S101 - the caller has looked
    bounds = [each for source in sources if (each := source.store.bounds())] or [(task.now, task.now)]
    first, last = min(begin for begin, _ in bounds), max(end for _, end in bounds)
    begins = task.choice.since or first
    # Without --since, the period of log files is that of their events.
    ends = task.choice.until or (task.now if task.choice.since else last)
    summary = Summary(begins, ends, task.hours, lambda time: time.astimezone())
    for row in _counted(merged_rows(sources, task.choice), "Summarizing events"):
        summary.add(row)
    files.write_whole(task.report_file, page(summary, Heading(origin, task.choice.describe(), task.now, gaps)))
    total = summary.total
    messages.line(
        f"wrote {task.report_file} (tunnels: {total.tunnels:,}, refused calls: {total.refused:,}, "
        f"principals: {len(summary.principals):,}, targets: {len(summary.targets):,})"
    )


def _follow(fetched: Sequence[_Fetched], task: Task, every: float) -> NoReturn:
    """Print the existing rows, then poll for new ones until the user interrupts."""
    show = printer(task.output)
    for row in merged_rows([each.source for each in fetched], task.choice):
        show(row)
    followers: list[tuple[Source, Follower]] = []
    for each in fetched:
        silent = replace(each.scope, say=lambda _state: None)
        follower = Follower(silent, task.choice, each.source.directory)
        follower.knows(each.source.store.events(task.now - 2 * OVERLAP))
        each.source.store.discard()
        followers.append((each.source, follower))
    messages.line("Waiting for new events, which CloudTrail delivers after some minutes. Press Ctrl-C to stop")
    while True:
        time.sleep(every)
        for rows in for_each(_new_rows, followers):
            for row in rows:
                show(row)


def _new_rows(followed: tuple[Source, Follower]) -> list[Row]:
    source, follower = followed
    try:
        return list(source.named(follower.look(datetime.now(UTC))))
    except (NetworkError, ThrottledError) as error:
        messages.line(f"{error.message}; retrying")
        return []


_DEFAULT_PERIOD = timedelta(hours=24)
_FOLLOW_INTERVAL = 30.0


@click.command
@click.option("--since", metavar="WHEN", help="Start: 24h, 7d, a date or a time; default: 24h, or all of --from.")
@click.option("--until", metavar="WHEN", help="End; default: now.")
@click.option(
    "--user",
    default="",
    metavar="NAME",
    help="Only events of this user, role session, ARN or access key; * is a wildcard.",
)
@click.option(
    "--target",
    type=INSTANCE,
    default="",
    metavar="NAME",
    help="Only events of this instance ID, Name tag or address; * is a wildcard.",
)
@click.option(
    "--endpoint",
    type=ENDPOINT,
    default="",
    metavar="NAME",
    help="Only events of the endpoint with this ID or Name tag; * is a wildcard.",
)
@click.option("--denied", is_flag=True, help="Only refused calls, by a policy or for another reason.")
@click.option("--follow", is_flag=True, help="Print new events as they arrive, until Ctrl-C.")
@click.option(
    "--interval",
    type=Number(min=1),
    default=_FOLLOW_INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="Polling interval of --follow.",
)
@click.option(
    "--from",
    "paths",
    type=FILE,
    multiple=True,
    metavar="PATH",
    help="Read CloudTrail log files (.json, .json.gz) from a file, a folder or s3://BUCKET/PREFIX; repeatable.",
)
@click.option("--all-regions", is_flag=True, help="Search all regions that are enabled for the account.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), metavar="FILE", help="Write an HTML report.")
@click.option(
    "--office-hours",
    default="7-19",
    show_default=True,
    metavar="HH-HH",
    help="Office hours, Monday to Friday, for the report.",
)
@click.option(
    "--output",
    type=click.Choice(["table", "json", "text", "csv"]),
    default="table",
    show_default=True,
    help="Output format.",
)
@click.option("--query", metavar="JMESPATH", help="JMESPath query on the JSON output.")
@athena_options
@click.option(
    "--athena-setup",
    "setup",
    metavar="s3://BUCKET/PREFIX",
    help="Print the statements that create a table over a trail's log files.",
)
@click.option("--execute", is_flag=True, help="With --athena-setup: run the statements.")
@account_options.with_accounts
@click.pass_context
def command(
    ctx: click.Context,
    *,
    session: Session,
    selected: Selection,
    since: str | None,
    until: str | None,
    user: str,
    target: str,
    endpoint: str,
    denied: bool,
    follow: bool,
    interval: float,
    paths: tuple[str, ...],
    all_regions: bool,
    report_file: Path | None,
    office_hours: str,
    output: str,
    query: str | None,
    athena: Athena | None,
    setup: str | None,
    execute: bool,
) -> int:
    """Show who used the endpoints, from CloudTrail: tunnels, keys, endpoint changes.

    Reading many events takes a while: CloudTrail allows two requests per second. An interrupted run resumes when
    repeated within a day. With --report, rows are printed only if --output is specified, too.

    \b
    Examples:
      eicctl audit --since 7d
      eicctl audit --user 'dev/*' --target web-1 --output csv
      eicctl audit --since 7d --report access.html
      eicctl audit --follow --denied
      eicctl audit --since 7d --accounts all --role ReadOnly --all-regions --output csv
      eicctl audit --from s3://my-trail/AWSLogs/ --since 2026-11-01 --until 2026-12-01
      eicctl audit --athena-setup s3://my-trail/ --execute
      eicctl audit --athena --since 90d --denied --report denied.html
    """
    if execute and not setup:
        raise UsageError("--execute requires --athena-setup", hint="eicctl audit --athena-setup s3://BUCKET/PREFIX")
    times, names = {"--since": since, "--until": until}, {"--user": user, "--target": target, "--endpoint": endpoint}
    filters: dict[str, object] = {**times, **names, "--denied": denied}
    sources = {"--from": paths, "--follow": follow}
    forms = {"--report": report_file, "--query": query}
    for option, given in (("--athena-setup", setup), ("--from", paths), ("--athena", athena)):
        if given:
            _one_account(session, selected, option)
    if setup:
        own = {"--query-id": athena and athena.query_id, "--print-sql": athena and athena.print_sql}
        options.refuse_together("--athena-setup", {**filters, **sources, "--all-regions": all_regions, **forms, **own})
        set_up(session, setup, athena or athena_of(), execute=execute)
        return 0
    now = datetime.now(UTC)
    begins = moment(since, now, "--since") if since else None if paths else now - _DEFAULT_PERIOD
    ends = moment(until, now, "--until") if until else None
    choice = Choice(begins, ends, user, target, endpoint, denied)
    if begins and begins >= (ends or now):
        raise UsageError(f"--since must be before {'--until' if ends else 'now'}")
    if query and output == "csv":
        raise UsageError("--query and --output csv cannot be combined", hint="--output json or text")
    if follow:
        options.refuse_together("--follow", {"--from": paths, **forms, "--until": until})
    if athena:
        options.refuse_together("--athena", sources)
        options.refuse_together("--athena", {"--all-regions": all_regions}, "--log-region limits an Athena query")
        if athena.query_id:
            check_filters(athena, filters)
    if paths:
        options.refuse_together("--from", {"--all-regions": all_regions}, "log files contain their own regions")
    if report_file and not report_file.absolute().parent.is_dir():
        raise UsageError(f"Folder {report_file.parent} does not exist")
    specified = ctx.get_parameter_source("output") != ParameterSource.DEFAULT or bool(query)
    task = Task(choice, now, not report_file or specified, output, query, report_file, _hours(office_hours))
    if paths:
        return from_files(session, paths, task)
    if athena and athena.print_sql:
        click.echo(sql_to_print(athena, choice), nl=False)
        return 0
    if athena:
        return from_athena(session, athena, task)
    return from_aws(session, selected, task, all_regions=all_regions, follow_every=interval if follow else None)


def _one_account(session: Session, selected: Selection, option: str) -> None:
    """Refuse several accounts beside log files, which have the accounts of their trail.

    Raises:
        UsageError: Several are selected, or may be.
    """
    why = "log files may have several accounts"
    if selected.accounts:
        ids = selected.accounts if option != "--from" and selected.accounts != (ALL,) else ()
        logs = [word for one in ids for word in ("--log-account", one)]
        hint = messages.again(*logs, without=("--accounts", "--role", "--external-id"))
        raise UsageError(f"{option} and --accounts cannot be combined: {why}", hint=hint)
    if selected.several:
        name = matching_profiles(session, selected.profiles)[0]
        hint = messages.again("--profile", name, without=("--profile",))
        raise UsageError(f"{option} takes one --profile: {why}", hint=hint)


def _hours(text: str) -> OfficeHours:
    begins, _, ends = text.partition("-")
    if not (begins.isdecimal() and ends.isdecimal() and 0 <= int(begins) < int(ends) <= 24):
        raise UsageError(f"Invalid --office-hours {text!r}", hint="use HH-HH, such as 7-19")
    return OfficeHours(int(begins), int(ends))
