"""`eicctl audit`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from eicctl.cli import options
from eicctl.core.errors import UsageError

if TYPE_CHECKING:
    from eicctl.audit.filters import Choice
    from eicctl.audit.summary import OfficeHours
    from eicctl.aws.session import Session

_DEFAULT_PERIOD = timedelta(hours=24)
_FOLLOW_INTERVAL = 30.0


@click.command
@click.option(
    "--since", metavar="WHEN", help="From when on: 24h, 7d, a date or a time; default: 24h, or all of --from."
)
@click.option("--until", metavar="WHEN", help="Before when; default: now.")
@click.option(
    "--user", default="", metavar="NAME", help="Only by this user, role session, ARN or access key; may have *."
)
@click.option("--target", default="", metavar="NAME", help="Only to this instance ID, Name tag or address; may have *.")
@click.option(
    "--endpoint", default="", metavar="NAME", help="Only of the endpoint with this ID or Name tag; may have *."
)
@click.option("--denied", is_flag=True, help="Only what was refused, by a policy or for another reason.")
@click.option("--follow", is_flag=True, help="Go on and print new events as they come, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    default=_FOLLOW_INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="Pause between two looks of --follow.",
)
@click.option(
    "--from",
    "places",
    multiple=True,
    metavar="PLACE",
    help="Read CloudTrail's log files (.json, .json.gz) instead: a file, a folder, or s3://BUCKET/PREFIX; repeatable.",
)
@click.option("--all-regions", is_flag=True, help="Look in all regions that the account uses, at the same time.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), metavar="FILE", help="Write an HTML page.")
@click.option(
    "--office-hours", default="7-19", show_default=True, metavar="HH-HH", help="Of Monday to Friday, for the report."
)
@click.option(
    "--output",
    type=click.Choice(["table", "json", "text", "csv"]),
    default="table",
    show_default=True,
    help="Form of the result.",
)
@click.option("--query", metavar="JMESPATH", help="Part of the result to show (JMESPath on the JSON form).")
@options.with_session
@click.pass_context
def command(
    ctx: click.Context,
    *,
    session: Session,
    since: str | None,
    until: str | None,
    user: str,
    target: str,
    endpoint: str,
    denied: bool,
    follow: bool,
    interval: float,
    places: tuple[str, ...],
    all_regions: bool,
    report_file: Path | None,
    office_hours: str,
    output: str,
    query: str | None,
) -> int:
    """Show who has used the endpoints: tunnels, keys and endpoint changes, from CloudTrail.

    A look-up of many events takes a while: CloudTrail answers two requests a second. One that was interrupted goes on
    where it was when it is run again within a day. With --report, rows are printed only if --output is given too.

    \b
    Examples:
      eicctl audit --since 7d
      eicctl audit --user 'dev/*' --target web-1 --output csv
      eicctl audit --since 7d --report access.html
      eicctl audit --follow --denied
      eicctl audit --from s3://my-trail/AWSLogs/ --since 2026-11-01 --until 2026-12-01
    """
    from eicctl.audit.filters import Choice, moment
    from eicctl.cli.commands.audit_run import Task, from_aws, from_files

    now = datetime.now(UTC)
    begins = moment(since, now, "--since") if since else None if places else now - _DEFAULT_PERIOD
    ends = moment(until, now, "--until") if until else None
    choice = Choice(begins, ends, user, target, endpoint, denied)
    _check(choice, now, output, follow=follow, places=places, report_file=report_file, query=query, regions=all_regions)
    chosen = ctx.get_parameter_source("output") != ParameterSource.DEFAULT or bool(query)
    task = Task(
        choice=choice,
        now=now,
        rows=not report_file or chosen,
        output=output,
        query=query,
        report_file=report_file,
        hours=_hours(office_hours),
    )
    if places:
        return from_files(session, places, task)
    return from_aws(session, task, all_regions=all_regions, follow_every=interval if follow else None)


def _check(
    choice: Choice,
    now: datetime,
    output: str,
    *,
    follow: bool,
    places: tuple[str, ...],
    report_file: Path | None,
    query: str | None,
    regions: bool,
) -> None:
    if choice.since and choice.since >= (choice.until or now):
        raise UsageError(f"--since is not before {'--until' if choice.until else 'now'}")
    if query and output == "csv":
        raise UsageError("--query and --output csv do not go together", hint="--output json or text")
    for given, option in ((places, "--from"), (report_file, "--report"), (query, "--query"), (choice.until, "--until")):
        if follow and given:
            raise UsageError(f"--follow and {option} do not go together")
    if places and regions:
        raise UsageError(
            "--from and --all-regions do not go together", hint="log files have the regions that they have"
        )
    if report_file and not report_file.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {report_file.parent}")


def _hours(words: str) -> OfficeHours:
    from eicctl.audit.summary import OfficeHours

    begins, _, ends = words.partition("-")
    if not (begins.isdecimal() and ends.isdecimal() and 0 <= int(begins) < int(ends) <= 24):
        raise UsageError(f"--office-hours does not understand {words!r}", hint="7-19 is from 7:00 to 19:00")
    return OfficeHours(int(begins), int(ends))
