"""`eicctl doctor`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.core.errors import UsageError
from eicctl.core.request import ConnectRequest
from eicctl.support import pins
from eicctl.view import messages, render

if TYPE_CHECKING:
    from eicctl.aws.session import Session
    from eicctl.doctor.context import Context
    from eicctl.doctor.diagnosis import Diagnosis

MAX_RULES = 3
"""Maximum number of rules that one run offers; after each, the checks run again."""

SETTLING = 5.0
"""Seconds after which a tunnel that does not come up is tried again: EC2 does not say when a new rule takes effect."""


@click.command
@options.with_request
@options.port_option
@click.option("--os-user", "--user", metavar="NAME", help="OS user of the login; default: the image's default user.")
@click.option(
    "--client-address",
    metavar="ADDRESS",
    help="Your public address, for endpoints that preserve client IPs; default: ask checkip.amazonaws.com.",
)
@click.option(
    "--fix", is_flag=True, help="Offer the security-group rule that fixes the cause, add it, and check again."
)
@click.option("--undo", is_flag=True, help="Remove the rules that --fix added for TARGET, or all of them.")
@click.option("--yes", "-y", is_flag=True, help="With --fix and --undo: skip confirmation.")
@click.option("--dry-run", is_flag=True, help="With --fix and --undo: show the change without making it.")
@options.output_options
@options.with_session
def command(
    *,
    session: Session,
    request: ConnectRequest,
    client_address: str | None,
    fix: bool,
    undo: bool,
    yes: bool,
    dry_run: bool,
    output: str,
    query: str | None,
) -> int:
    """Find out why a target is unreachable, and how to fix it.

    Checks credentials, clock, region, target, endpoint, connectivity, network rules and permissions, and opens a
    tunnel. Changes nothing without --fix. Without TARGET, runs the checks that need none. The exit code is 0 if no
    check failed, else that of the cause.

    \b
    Examples:
      eicctl doctor web-1
      eicctl doctor win-1
      eicctl doctor web-1 --fix
      eicctl doctor web-1 --undo
      eicctl doctor web-1 --output json --query Cause.Summary
    """
    if fix and undo:
        raise UsageError("--fix and --undo are mutually exclusive")
    if dry_run and not (fix or undo):
        raise UsageError("--dry-run requires --fix or --undo")
    if undo:
        return _undo(session, request.label, yes=yes, dry_run=dry_run)
    if fix and not request.label:
        raise UsageError("--fix requires a target")

    from eicctl.aws.explicit_target import check_port
    from eicctl.cli.target_prompt import specified_or_none
    from eicctl.doctor.context import Context

    check_port(request)
    live = output == "table" and not query
    session, request = specified_or_none(session, request, "doctor", ask=live)

    def diagnose() -> tuple[Context, Diagnosis]:
        context = Context(
            session,
            request,
            os_user=request.os_user,
            max_tunnel_duration=request.max_tunnel_duration,
            client_address=client_address,
        )
        return context, _shown(context) if live else _quiet(context)

    context, diagnosis = _fix(diagnose, yes=yes, dry_run=dry_run) if fix else diagnose()
    if not live:
        _show(context, diagnosis, output, query)
    return diagnosis.exit_code


def _shown(context: Context) -> Diagnosis:
    """Run the checks and show each result as it is known; then the cause and the path."""
    from eicctl.doctor.diagnosis import diagnose, run
    from eicctl.support.signals import end_by_exception
    from eicctl.view.doctor import Rows, show_summary

    results = []
    with end_by_exception(), Rows(lambda: context.checks) as rows:
        for result in run(context.checks, context):
            results.append(result)
            rows.add(result)
        diagnosis = diagnose(context, results)
        rows.finish(diagnosis.results)
    show_summary(diagnosis, context.label)
    return diagnosis


def _quiet(context: Context) -> Diagnosis:
    """Run the checks, with progress."""
    from eicctl.doctor.diagnosis import diagnose, run
    from eicctl.view.progress import Waiting

    results = []
    with Waiting("Checking") as waiting:
        for result in run(context.checks, context):
            results.append(result)
            waiting.show(f"{len(results)} of {len(context.checks)} checks")
    return diagnose(context, results)


def _show(context: Context, diagnosis: Diagnosis, output: str, query: str | None) -> None:
    """Write the result for programs."""
    from eicctl.doctor.diagnosis import as_json, checks_as_json

    if output == "text" and not query:
        keys = ("Key", "Status", "Message", "Remediation")
        rows = [{key: row[key] for key in keys} for row in checks_as_json(diagnosis)]
        render.show(rows, output=output)
    else:
        render.show(as_json(diagnosis, context), output=output, query=query)


def _fix(diagnose: Callable[[], tuple[Context, Diagnosis]], *, yes: bool, dry_run: bool) -> tuple[Context, Diagnosis]:
    """Offer the rule that fixes the cause, add it and diagnose again, while a rule fixes it; return the last result.

    Args:
        diagnose: Makes and shows a diagnosis.
        yes: Do not ask.
        dry_run: Only ask EC2 whether it would add the rule.
    """
    context, found = diagnose()
    if not found.cause:
        messages.line("Nothing to fix")
    for _ in range(MAX_RULES):
        if not found.cause or not _fixed(context, found, yes, dry_run):
            break
        context, found = diagnose()
        if found.cause and found.cause.key == "tunnel":
            messages.line("\nA new rule may take a few seconds to take effect. Checking once more:\n")
            time.sleep(SETTLING)
            context, found = diagnose()
    return context, found


def _fixed(context: Context, found: Diagnosis, yes: bool, dry_run: bool) -> bool:
    """Offer the rule that fixes the cause, and add it; return whether it was added."""
    from eicctl.aws.ec2_requests import change_network
    from eicctl.doctor.fix import add_rule
    from eicctl.reachability.remedies import change_command

    assert found.cause  # noqa: S101 - there is one to fix
    rule, session = found.cause.change, context.session
    if not rule or not rule.is_group_rule:
        instead = f". Instead: {found.cause.remediation}" if found.cause.remediation else ""
        messages.line(f"No single security-group rule fixes this{instead}")
        return False
    messages.line(f"\nProposed fix: {rule.summary}")
    messages.line(f"  {change_command(rule, region=session.region, profile=session.profile)}")
    if dry_run:
        change_network(session, rule.operation, rule.parameters, dry_run=True)
        messages.line("Dry run succeeded; no changes made")
        return False
    if not _confirmed("Add this rule?", yes):
        return False
    account = context.identity.account if context.identity else ""
    added = add_rule(session, rule, account=account, target=context.names)
    undo = pins.command("eicctl", "doctor", context.label, "--undo")
    messages.line(f"Added {', '.join(added.rule_ids) or 'the rule'}. Undo: {undo}")
    messages.line("Checking again:\n")
    return True


def _undo(session: Session, target: str, *, yes: bool, dry_run: bool) -> int:
    """Remove the rules that `--fix` added and that are still recorded; return the exit code.

    Args:
        session: Access to AWS.
        target: The target that they were added for; all of the account where empty.
        yes: Do not ask.
        dry_run: Only list them.
    """
    from eicctl.aws.identity import caller_identity
    from eicctl.doctor.fix import added_rules, remove_rule

    known = added_rules(target)
    if not known:
        messages.line(f"Nothing to undo: no rule added by doctor --fix is recorded{f' for {target}' if target else ''}")
        return 0
    account = caller_identity(session).account
    ours = [rule for rule in known if rule.account == account]
    for rule in known:
        if rule.account != account:
            messages.line(f"Skipped (account {rule.account}): {rule.summary}")
    for rule in ours:
        messages.line(
            f"{rule.summary} ({rule.region}, added {rule.added_at}{''.join(f', {i}' for i in rule.rule_ids)})"
        )
    if dry_run or not ours:
        return 0
    if not _confirmed(f"Remove {'this rule' if len(ours) == 1 else 'these rules'}?", yes):
        return 1
    for rule in ours:
        messages.line(f"Removed: {rule.summary}" if remove_rule(session, rule) else f"Already removed: {rule.summary}")
    return 0


def _confirmed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            "Refusing to change a security group without confirmation (no TTY)", hint=messages.again("--yes")
        )
    if click.confirm(question, err=True):
        return True
    messages.line("Canceled")
    return False
