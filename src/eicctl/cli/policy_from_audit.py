"""`eicctl policy connect --from-audit`: from CloudTrail's records to least-privilege policies, or to a diff."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from itertools import chain

import click

from eicctl.audit.correlation import BEFORE, Directory, Row
from eicctl.audit.fetch import KEPT, Scope, checkpoint, known_addresses, look_up, rows_of
from eicctl.audit.filters import Choice, moment
from eicctl.audit.records import KEY, TUNNEL
from eicctl.audit.store import EventStore
from eicctl.aws.iam import identity_policies
from eicctl.aws.instances import list_instances
from eicctl.aws.regions import used_regions
from eicctl.aws.session import Session
from eicctl.cli import options
from eicctl.cli.athena import check_filters, read_result, sql_to_print
from eicctl.cli.athena_options import Athena
from eicctl.cli.commands.audit import INTERRUPTED, note_limit, read_files
from eicctl.core.errors import EicctlError, NotFoundError, UsageError
from eicctl.core.names import counted, folded
from eicctl.policy.beyond import Comparison, compare
from eicctl.policy.documents import FORMATS
from eicctl.policy.from_use import Bounds, Call, Usage, derive, owner_of, usage_of
from eicctl.support import pins
from eicctl.support.threads import for_each
from eicctl.view import messages, render
from eicctl.view.progress import Waiting

_PERIOD = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Task:
    """The parameters of a run, as the options of the command have them."""

    user: str | None
    since: str | None
    paths: tuple[str, ...]
    all_regions: bool
    athena: Athena | None
    max_unused: int
    by_source: bool
    tag: str
    diff: bool
    policy: tuple[str, Mapping[str, object]] | None
    form: str
    output: str
    query: str | None


def run(session: Session, task: Task) -> int:
    """Print the policies, or the diff. The exit code is 1 where today's allow more, or a log file is malformed.

    Raises:
        NotFoundError: Nothing was recorded that a policy could allow.
    """
    now = datetime.now(UTC)
    begins = moment(task.since, now, "--since") if task.since else None if task.paths else now - _PERIOD
    if begins and begins >= now:
        raise UsageError("--since must be before now")
    if task.all_regions and (task.paths or task.athena):
        raise UsageError("--all-regions is for the event history", hint="log files contain their own regions")
    choice = Choice(since=begins, user=task.user or "")
    if task.athena:
        options.refuse_together("--athena", {"--from": task.paths})
    if task.athena and task.athena.query_id:
        check_filters(task.athena, {"--since": task.since, "--user": task.user})
    if task.athena and task.athena.print_sql:
        click.echo(sql_to_print(task.athena, choice), nl=False)
        return 0
    regions = tuple(used_regions(session)) if task.all_regions else ()
    tags: Mapping[tuple[str, str], str] = {}
    if task.tag:
        found = for_each(lambda region: list_instances(session, region=region), regions or (session.region,))
        tags = {
            (one.region, one.id): one.tags[task.tag]
            for one in chain.from_iterable(found)
            if one.tags.get(task.tag) and one.state != "terminated"
        }
    bounds = Bounds(task.max_unused, task.by_source, task.tag, tags)
    if task.athena:
        record = _from_athena(session, task.athena, choice)
    elif task.paths:
        record = _from_files(session, task.paths, choice)
    else:
        record = _from_history(session, regions or (session.region,), choice, now)
    if not record.usages:
        since = ("--since", task.since or "30d") if task.since or not task.paths else ()
        source = [word for path in task.paths for word in ("--from", path)] or (["--athena"] if task.athena else [])
        hint = pins.command("eicctl", "audit", *source, *since)
        raise NotFoundError("No recorded tunnels or pushed keys match", hint=hint)
    for arn, usage in record.usages.items():
        sessions = f" (sessions: {folded(usage.sessions)})" if usage.sessions else ""
        messages.line(f"{usage.name}: tunnels: {usage.tunnels:,}, pushed keys: {usage.keys:,}{sessions}")
        if task.user and usage.sessions and not _matches(task.user, (arn, usage.name.partition(" ")[2])):
            messages.line(f"note: other sessions of the {usage.name} have the same policies, and were not read")
    code = _show_diff(session, record.usages, task) if task.diff else _write(record.usages, bounds, task.form)
    return 1 if record.incomplete else code


@dataclass(frozen=True, slots=True)
class _Record:
    """What users and roles did, by ARN; `incomplete` if some records could not be read."""

    usages: Mapping[str, Usage]
    incomplete: bool


def _from_files(session: Session, paths: tuple[str, ...], choice: Choice) -> _Record:
    with EventStore() as store:
        directory, damaged = read_files(session, paths, choice, store)
        return _Record(_usages(store, directory, choice, None), bool(damaged))


def _from_athena(session: Session, wanted: Athena, choice: Choice) -> _Record:
    with EventStore() as store:
        directory, choice = read_result(session, wanted, choice, store)
        return _Record(_usages(store, directory, choice, None), incomplete=False)


def _from_history(session: Session, regions: tuple[str, ...], choice: Choice, now: datetime) -> _Record:
    begins = choice.since or now
    note_limit(begins, now)
    with checkpoint(session) as store:
        with Waiting("Reading CloudTrail", interrupted=INTERRUPTED) as waiting:
            scope = Scope(session, regions, waiting.show, messages.line)
            failures = look_up(scope, store, (max(begins - BEFORE, now - KEPT), now), now)
            directory = known_addresses(scope, store, now)
        usages = _usages(store, directory, choice, regions)
        of = regions[0] if len(regions) == 1 else f"{len(regions) - len(failures)} regions"
        messages.line(f"CloudTrail's event history of {of} since {begins.astimezone():%Y-%m-%d %H:%M}")
        for region, error in failures.items():
            messages.line(f"{region} did not respond: {error.message}")
        store.discard()
        return _Record(usages, bool(failures))


def _usages(
    store: EventStore, directory: Directory, choice: Choice, regions: Container[str] | None
) -> Mapping[str, Usage]:
    """What the records in a store tell of users and roles; notes on what they tell of others."""
    refused = 0

    def read(region: str) -> bool:
        return regions is None or region in regions

    def calls() -> Iterator[Call]:
        nonlocal refused
        for event in store.events(choice.since):
            if event.name not in (TUNNEL, KEY) or not choice.has(Row(event)) or not read(event.region):
                continue
            if not event.succeeded:
                refused += 1
                continue
            who, tunnel = event.principal.arn, event.name == TUNNEL
            target = (
                (event.endpoint_id or "?", event.address, event.port, event.duration)
                if tunnel
                else ("", "", None, None)
            )
            key = ("", "") if tunnel else (event.instance_id, event.os_user)
            yield Call(who, event.region, event.source_ip, *target, *key)

    usages, others = usage_of(calls())
    for row in rows_of(store, directory, choice):
        event, owner = row.event, owner_of(row.event.principal.arn)
        login = event.name == TUNNEL and event.succeeded and event.port == 22 and read(event.region)
        if login and not row.key_event_id and owner and owner[0] in usages:
            usages[owner[0]].own_keys += 1
    if refused:
        messages.line(f"note: refused calls are not included: {refused:,}")
    if others:
        messages.line(f"note: skipped, neither a user nor a role: {folded(others)} ({counted(others.total(), 'call')})")
    return usages


def _matches(pattern: str, names: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names)


def _write(usages: Mapping[str, Usage], bounds: Bounds, form: str) -> int:
    policies = {}
    for arn, usage in usages.items():
        derived = derive(usage, bounds)
        if derived.policy:
            policies[arn] = derived.policy
        for note in derived.notes:
            messages.line(f"note: {usage.name}: {note}" if len(usages) > 1 else f"note: {note}")
    if not policies:
        raise NotFoundError("No policy can allow exactly what was recorded", hint="the notes explain why")
    click.echo(FORMATS[form]("connect", policies))
    if len(policies) > 1 and form == "json":
        messages.line("note: one policy per ARN; --user selects one")
    return 0


def _show_diff(session: Session, usages: Mapping[str, Usage], task: Task) -> int:
    """Print what today's policies allow beyond what was used; 1 if they allow more."""
    if task.policy and len(usages) > 1:
        names = folded(usage.name for usage in usages.values())
        raise UsageError(f"--policy is for one user or role, but the records have {names}", hint="--user NAME")
    more = False
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    notes: list[str] = []
    for arn, usage in usages.items():
        try:
            policies = [task.policy] if task.policy else identity_policies(session, arn)
        except EicctlError as error:
            error.hint = error.hint or "--policy FILE specifies the current policy"
            raise
        comparisons = compare(policies, usage, by_source=task.by_source)
        rows += [_as_json(arn, one) for one in comparisons]
        lines += diff_lines(usage.name, comparisons)
        for one in comparisons:
            notes += [f"{one.statement} also requires {other}; the derived policy does not" for other in one.others]
            notes += [f"{one.statement} is limited by {denial}; this is not compared" for denial in one.denials]
        more = more or any(one.allows_more for one in comparisons)
    if task.output != "table" or task.query:
        render.show(rows, output=task.output, query=task.query)
    else:
        for line in lines:
            messages.out(line)
    if more:
        notes.append("permissions boundaries and the organization's policies may allow less; they are not compared")
    for note in dict.fromkeys(notes):
        messages.line(f"note: {note}")
    if not more:
        messages.line("The current policies allow nothing beyond what was used")
    return int(more)


def _as_json(arn: str, one: Comparison) -> dict[str, object]:
    dimensions = [{"Name": each.name, "Allowed": each.today, "Used": each.used} for each in one.dimensions]
    return {
        "PrincipalArn": arn,
        "Statement": one.statement,
        "Action": one.action,
        "Calls": one.calls,
        "AllowsMore": one.allows_more,
        "Dimensions": dimensions,
        "OtherConditions": one.others,
        "UncomparedDenials": one.denials,
    }


def diff_lines(owner: str, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a diff of the statements that allow more than what was used: `-` is what they allow, `+` what was used."""
    wider = [one for one in comparisons if one.allows_more]
    if not wider:
        return
    yield f"--- current: {owner}"
    yield "+++ used"
    for one in wider:
        yield f"@@ {one.statement}: {one.action}, {counted(one.calls, 'call') if one.calls else 'not used'} @@"
        for each in one.dimensions:
            today, used = set(each.today), set(each.used)
            for sign, values in (("-", today - used), (" ", today & used), ("+", used - today)):
                for value in sorted(values):
                    yield f"{sign} {each.name:12} {value}"
