"""`eicctl modify-endpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from eicctl.cli import options
from eicctl.cli.param_types import ENDPOINT
from eicctl.core.errors import UsageError
from eicctl.view import messages, render
from eicctl.view.endpoint import row_of, would_call

if TYPE_CHECKING:
    from eicctl.aws.endpoints import EndpointChanges
    from eicctl.aws.session import Session


@click.command
@click.argument("endpoint", required=False, type=ENDPOINT)
@click.option(
    "--security-group-id",
    "group_ids",
    metavar="ID",
    multiple=True,
    help="New security groups, replacing the old ones; repeatable.",
)
@click.option("--ip-address-type", type=click.Choice(["ipv4", "dualstack", "ipv6"]), help="New IP address type.")
@click.option(
    "--preserve-client-ip/--no-preserve-client-ip", default=None, help="Turn client IP preservation on or off."
)
@click.option("--wait/--no-wait", default=False, help="Wait until the change takes effect.")
@options.timeout_option
@options.dry_run_option
@options.output_options
@options.with_session
def command(
    *,
    session: Session,
    endpoint: str | None,
    group_ids: tuple[str, ...],
    ip_address_type: str | None,
    preserve_client_ip: bool | None,
    wait: bool,
    timeout: float,
    dry_run: bool,
    output: str,
    query: str | None,
) -> None:
    """Change an endpoint's security groups, address type or client IP preservation.

    ENDPOINT is an ID or a Name tag. The old configuration stays in use until the change takes effect.

    \b
    Examples:
      eicctl modify-endpoint office --security-group-id sg-0123456789abcdef0 --wait
      eicctl modify-endpoint eice-0123456789abcdef0 --preserve-client-ip --dry-run
    """
    given = {
        "SecurityGroupIds": list(group_ids) or None,
        "IpAddressType": ip_address_type,
        "PreserveClientIp": preserve_client_ip,
    }
    changes = cast("EndpointChanges", {name: value for name, value in given.items() if value is not None})
    if not changes:
        raise UsageError(
            "Specify at least one of: --security-group-id, --ip-address-type, --[no-]preserve-client-ip",
            hint="eicctl modify-endpoint --help",
        )
    from eicctl.api.endpoints import check_address_type, check_changes, replaced_groups
    from eicctl.aws.endpoints import get_endpoint, modify_endpoint, wait_usable
    from eicctl.cli.target_prompt import specified_endpoint
    from eicctl.view.progress import Waiting

    check_address_type(preserve_client_ip, ip_address_type)
    endpoint = specified_endpoint(session, endpoint)
    found = get_endpoint(session, endpoint)
    check_changes(session, found, changes, name=endpoint)
    replaced = replaced_groups(session, found, changes)
    modify_endpoint(session, found.id, dry_run=dry_run, **changes)
    if dry_run:
        would_call("ModifyInstanceConnectEndpoint", found.id, **changes)
        return
    if wait:
        look = session.command("eicctl", "show-endpoint", found.id)
        with Waiting(f"Modifying {found.id}", interrupted=f"EC2 continues to modify {found.id}: {look}") as waiting:
            wait_usable(session, found.id, timeout=timeout, progress=waiting.show, changes=changes)
    for group in replaced:
        messages.line(f"{found.id} no longer uses security group {group.id} ({group.name}), created by eicctl")
        messages.line(f"hint: {session.command('aws', 'ec2', 'delete-security-group', '--group-id', group.id)}")
    render.show(row_of(get_endpoint(session, found.id)), output=output, query=query)
