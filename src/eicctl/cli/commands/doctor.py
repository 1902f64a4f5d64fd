"""`eicctl doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from eicctl.cli import options
from eicctl.cli.view import render
from eicctl.core.errors import UsageError
from eicctl.core.model import TargetRequest

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.doctor.context import Context
    from eicctl.doctor.diagnosis import Diagnosis


@click.command
@options.with_request
@click.option(
    "--port",
    "--remote-port",
    "remote_port",
    type=click.IntRange(1, 65535),
    help="Port of the target, 22 or 3389; default: 3389 for Windows, 22 for all others.",
)
@click.option(
    "--os-user", "--user", metavar="NAME", help="OS user of the login; default: that of the instance's image."
)
@click.option(
    "--client-address",
    metavar="ADDRESS",
    help="Your public address, for endpoints that preserve it; default: what checkip.amazonaws.com says.",
)
@click.option("--fix", is_flag=True, help="Offer the one security-group rule that mends it, make it, and check again.")
@click.option("--undo", is_flag=True, help="Take back the rules that --fix has made, for TARGET or for all.")
@click.option("--yes", "-y", is_flag=True, help="With --fix and --undo: do not ask.")
@click.option("--dry-run", is_flag=True, help="With --fix and --undo: say what would be called, and change nothing.")
@options.output_options
@options.with_session
def command(
    *,
    session: Session,
    request: TargetRequest,
    max_tunnel_duration: int | None,
    os_user: str | None,
    client_address: str | None,
    fix: bool,
    undo: bool,
    yes: bool,
    dry_run: bool,
    output: str,
    query: str | None,
) -> int:
    """Find out why a target cannot be reached, and what mends it.

    Looks at credentials, clock, region, target, endpoint, the way there, network rules and permissions, and opens a
    tunnel. Nothing is changed without --fix. Without TARGET only what needs none is looked at. The exit code is 0
    where nothing failed, else that of the cause.

    \b
    Examples:
      eicctl doctor web-1
      eicctl doctor win-1
      eicctl doctor web-1 --fix
      eicctl doctor web-1 --undo
      eicctl doctor web-1 --output json --query Cause.Sentence
    """
    if fix and undo:
        raise UsageError("--fix goes without --undo")
    if dry_run and not (fix or undo):
        raise UsageError("--dry-run goes with --fix or --undo; without these nothing is changed")
    if undo:
        from eicctl.cli.view.doctor_fix import take_back

        return take_back(session, request.said, yes=yes, dry_run=dry_run)
    if fix and not request.said:
        raise UsageError("--fix needs a target")

    from eicctl.aws.explicit_target import check_port
    from eicctl.cli.view.doctor_fix import mend
    from eicctl.doctor.context import Context

    check_port(request)
    live = output == "table" and not query

    def examine() -> tuple[Context, Diagnosis]:
        context = Context(
            session,
            request if request.said else None,
            os_user=os_user or "",
            max_tunnel_duration=max_tunnel_duration,
            client_address=client_address,
        )
        return context, _shown(context) if live else _quiet(context)

    context, found = mend(examine, yes=yes, dry_run=dry_run) if fix else examine()
    if not live:
        _show(context, found, output, query)
    return found.exit_code


def _shown(context: Context) -> Diagnosis:
    """Make the checks and show them as they are made; then the cause and the path."""
    from rich.console import Console

    from eicctl.cli.view.doctor import rows, summary
    from eicctl.doctor.diagnosis import diagnose

    console = Console(highlight=False)
    made = []
    with rows(lambda: context.steps, console) as shown:
        for check in context.examine():
            made.append(check)
            shown.add(check)
        found = diagnose(context, made)
        shown.finish(found.checks)
    what = f"{context.label} can be reached" if context.request else "all that can be checked without a target is well"
    summary(found, console, well=f"Nothing is wrong: {what}.")
    return found


def _quiet(context: Context) -> Diagnosis:
    """Make the checks, with progress on a terminal."""
    from eicctl.cli.view.progress import Waiting
    from eicctl.doctor.diagnosis import diagnose

    if not sys.stderr.isatty():
        return diagnose(context, list(context.examine()))
    made = []
    with Waiting("examining") as waiting:
        for check in context.examine():
            made.append(check)
            waiting.show(f"{len(made)} of {len(context.steps)} checks")
    return diagnose(context, made)


def _show(context: Context, found: Diagnosis, output: str, query: str | None) -> None:
    """Write the result for machines."""
    from eicctl.doctor.diagnosis import as_json

    result: Any = as_json(found, context)
    if output == "text" and not query:
        result = [{key: row[key] for key in ("Key", "Status", "Evidence", "Mend")} for row in result["Checks"]]
    render.show(result, output=output, query=query, columns={})
