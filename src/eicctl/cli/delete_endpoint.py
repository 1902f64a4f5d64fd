"""`eicctl delete-endpoint`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from eicctl.cli import options, report
from eicctl.errors import UsageError

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.command
@click.argument("endpoint")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=False, help="Wait until it is gone.")
@options.timeout_option
@options.dry_run_option
@options.with_session
def command(*, session: Session, endpoint: str, yes: bool, wait: bool, timeout: float, dry_run: bool) -> int:
    """Delete an endpoint.

    ENDPOINT is its ID or its Name tag. Its open connections end with it.

    \b
    Examples:
      eicctl delete-endpoint eice-0123456789abcdef0
      eicctl delete-endpoint office --yes --wait
    """
    from eicctl.aws.endpoints import delete_endpoint, get_endpoint, wait_deleted
    from eicctl.cli.progress import Waiting

    found = get_endpoint(session, endpoint)
    if dry_run:
        delete_endpoint(session, found.id, dry_run=True)
        click.echo(f"Would call DeleteInstanceConnectEndpoint {found.id}")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("deleting needs a yes, and there is no terminal to ask on", hint="--yes")
        name = f"{found.name} ({found.id})" if found.name else found.id
        if not click.confirm(report.printable(f"Delete the endpoint {name} of {found.vpc_id}?"), err=True):
            report.line("nothing was deleted")
            return 1
    delete_endpoint(session, found.id)
    if wait:
        with Waiting(found.id, interrupted=f"EC2 goes on deleting {found.id}") as waiting:
            wait_deleted(
                session, found.id, timeout=timeout, progress=lambda now: waiting.show(now.state if now else "gone")
            )
    report.line(f"{found.id} is deleted" if wait else f"{found.id} is being deleted")
    return 0
