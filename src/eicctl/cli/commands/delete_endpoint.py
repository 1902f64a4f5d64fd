"""`eicctl delete-endpoint`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import ENDPOINT
from eicctl.core.errors import DeniedError, UsageError
from eicctl.view import messages
from eicctl.view.endpoint import delete_group_question, delete_question, would_call

if TYPE_CHECKING:
    from eicctl.aws.security_groups import ManagedGroup
    from eicctl.aws.session import Session
    from eicctl.core.model import Endpoint


@click.command
@click.argument("endpoint", required=False, type=ENDPOINT)
@click.option("--yes", "-y", is_flag=True, help="Skip confirmation, also for deleting the security group.")
@click.option("--keep-security-group", is_flag=True, help="Keep the security group created for the endpoint.")
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Wait until the endpoint is deleted; default: if its security group is deleted too. --no-wait keeps it.",
)
@options.timeout_option
@options.dry_run_option
@options.with_session
def command(
    *,
    session: Session,
    endpoint: str | None,
    yes: bool,
    keep_security_group: bool,
    wait: bool | None,
    timeout: float,
    dry_run: bool,
) -> int:
    """Delete an endpoint.

    ENDPOINT is an ID or a Name tag. Open connections are closed. The security group that `create-endpoint
    --create-security-group` created is deleted after the endpoint, with the rules added to the targets' groups, unless
    something else uses it.

    \b
    Examples:
      eicctl delete-endpoint eice-0123456789abcdef0
      eicctl delete-endpoint office --yes --wait
      eicctl delete-endpoint office --keep-security-group
    """
    from eicctl.aws.endpoints import delete_endpoint, get_endpoint, wait_deleted
    from eicctl.aws.security_groups import delete_group
    from eicctl.cli.target_prompt import specified_endpoint
    from eicctl.view.progress import Waiting

    found = get_endpoint(session, specified_endpoint(session, endpoint))
    groups = _groups(session, found)
    keep = keep_security_group or wait is False
    doomed = [] if keep else [group for group in groups if not group.used_by]
    if dry_run:
        delete_endpoint(session, found.id, dry_run=True)
        would_call("DeleteInstanceConnectEndpoint", found.id)
        for group in doomed:
            for target in group.rules:
                would_call("RevokeSecurityGroupIngress", f"of the rules from {group.id} in {target}")
            would_call("DeleteSecurityGroup", f"{group.id} ({group.name})")
        _report_kept(session, groups, doomed)
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("Refusing to delete without confirmation (no TTY)", hint=messages.again("--yes"))
        if not click.confirm(messages.printable(delete_question(found)), err=True):
            messages.line("Canceled")
            return 1
        doomed = [
            group for group in doomed if click.confirm(messages.printable(delete_group_question(group)), True, err=True)
        ]
    delete_endpoint(session, found.id)
    if wait or doomed:
        interrupted = f"EC2 continues to delete {found.id}" + "; its security group is kept" * bool(doomed)
        with Waiting(f"Deleting {found.id}", interrupted=interrupted) as waiting:
            wait_deleted(session, found.id, timeout=timeout, progress=waiting.show)
    messages.line(f"Deleted {found.id}" if wait or doomed else f"Deleting {found.id} (takes a few minutes)")
    for group in doomed:
        delete_group(session, group, timeout=timeout)
        messages.line(f"Deleted security group {group.id} ({group.name})")
    _report_kept(session, groups, doomed)
    return 0


def _groups(session: Session, endpoint: Endpoint) -> list[ManagedGroup]:
    """The groups that eicctl has created for it; none where the caller may not look."""
    from eicctl.aws.security_groups import managed_groups

    try:
        return managed_groups(session, endpoint)
    except DeniedError as error:
        messages.line(f"Security groups are kept: {error.message}")
        return []


def _report_kept(session: Session, groups: Sequence[ManagedGroup], doomed: Sequence[ManagedGroup]) -> None:
    for group in groups:
        if group not in doomed:
            used = f"; used by {', '.join(group.used_by)}" if group.used_by else ""
            messages.line(f"Kept security group {group.id} ({group.name}), created by eicctl{used}")
            messages.line(f"hint: {session.command('aws', 'ec2', 'delete-security-group', '--group-id', group.id)}")
