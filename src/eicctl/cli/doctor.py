"""`eicctl doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from eicctl.cli import options, render, report
from eicctl.errors import UsageError
from eicctl.model import TargetRequest

if TYPE_CHECKING:
    from eicctl.access.changes import GroupRule
    from eicctl.aws.session import Session
    from eicctl.doctor.diagnosis import Diagnosis
    from eicctl.doctor.patient import Patient

_MOST_FIXES = 3
"""Rules that one run offers; each is followed by a new examination."""


@click.command
@options.with_request
@click.option(
    "--port",
    "--remote-port",
    "remote_port",
    type=click.IntRange(1, 65535),
    default=22,
    show_default=True,
    help="Port of the target: 22 or 3389.",
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
      eicctl doctor win-1 --port 3389
      eicctl doctor web-1 --fix
      eicctl doctor web-1 --undo
      eicctl doctor web-1 --output json --query Cause.Sentence
    """
    if fix and undo:
        raise UsageError("--fix goes without --undo")
    if dry_run and not (fix or undo):
        raise UsageError("--dry-run goes with --fix or --undo; without these nothing is changed")
    if undo:
        from eicctl.cli.doctor_undo import take_back

        return take_back(session, request.said, yes, dry_run)
    if fix and not request.said:
        raise UsageError("--fix needs a target")

    from eicctl.aws.told import check_port
    from eicctl.doctor.patient import Patient

    check_port(request)
    code = 0
    for number in range(_MOST_FIXES + 1):
        patient = Patient(
            session,
            request if request.said else None,
            os_user=os_user or "",
            max_tunnel_duration=max_tunnel_duration,
            client_address=client_address,
        )
        found = _examined(patient, output, query)
        code = found.exit_code
        if fix and not found.cause and number == 0:
            report.line("there is nothing to mend")
        if not fix or number == _MOST_FIXES or not found.cause or not _fixed(patient, found, yes, dry_run):
            break
    return code


def _examined(patient: Patient, output: str, query: str | None) -> Diagnosis:
    """Make the checks, show them, and return what they say."""
    from eicctl.doctor.diagnosis import as_json, diagnose

    if output != "table" or query:
        from eicctl.cli.progress import Waiting

        made = []
        if sys.stderr.isatty():
            with Waiting("examining") as waiting:
                for check in patient.examine():
                    made.append(check)
                    waiting.show(f"{len(made)} of {len(patient.steps)} checks")
        else:
            made = list(patient.examine())
        found = diagnose(patient, made)
        result = as_json(found, patient)
        if output == "text" and not query:
            render.show([_text_row(row) for row in result["Checks"]], output=output, query=None, columns={})
        else:
            render.show(result, output=output, query=query, columns={})
        return found

    from rich.console import Console

    from eicctl.cli.doctor_view import rows, summary

    console = Console(highlight=False)
    made = []
    with rows(patient.steps, console) as shown:
        for check in patient.examine():
            made.append(check)
            shown.add(check)
    found = diagnose(patient, made)
    what = f"{patient.label} can be reached" if patient.request else "all that can be checked without a target is well"
    summary(found, console, well=f"Nothing is wrong: {what}.")
    return found


def _text_row(row: dict[str, str]) -> dict[str, str]:
    return {key: row[key] for key in ("Key", "Status", "Evidence", "Mend")}


def _fixed(patient: Patient, found: Diagnosis, yes: bool, dry_run: bool) -> bool:
    """Offer the rule that mends the cause, and make it; return whether it was made."""
    from eicctl.doctor import fix

    assert found.cause  # noqa: S101 - there is one to fix
    change = fix.offered(found.cause.change)
    if not change:
        mend = f"; instead: {found.cause.mend}" if found.cause.mend else ""
        report.line(f"no single security-group rule mends this{mend}")
        return False
    report.line(f"\nThis rule mends it: {change.summary}")
    report.line(f"  {fix.line_of(patient.session, change)}")
    if dry_run:
        fix.check(patient.session, change)
        report.line("EC2 would make it (DryRun); nothing was changed")
        return False
    if not _agreed("Make this rule?", yes):
        report.line("nothing was changed")
        return False
    return _make(patient, change)


def _make(patient: Patient, change: GroupRule) -> bool:
    from eicctl.doctor import fix

    account = patient.identity.account if patient.identity else ""
    made = fix.make(patient.session, change, account=account, target=patient.names)
    name = f" ({', '.join(made.rule_ids)})" if made.rule_ids else ""
    report.line(f"made{name}; eicctl doctor {patient.label} --undo takes it back. Checking again:\n")
    return True


def _agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("changing a security group needs a yes, and there is no terminal to ask on", hint="--yes")
    return click.confirm(question, err=True)
