"""`eicctl modify-endpoint`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import click

from eicctl.cli import options
from eicctl.cli.param_types import ENDPOINT
from eicctl.cli.view import messages, render
from eicctl.cli.view.endpoint import row_of, would_call
from eicctl.core.errors import DeniedError, UsageError

if TYPE_CHECKING:
    from eicctl.aws.endpoints import EndpointChanges
    from eicctl.aws.security_groups import ManagedGroup
    from eicctl.aws.session import Session
    from eicctl.core.model import Endpoint


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
    if preserve_client_ip and ip_address_type not in (None, "ipv4"):
        raise UsageError("--preserve-client-ip requires --ip-address-type ipv4", hint="--ip-address-type ipv4")

    from eicctl.aws.endpoints import get_endpoint, modify_endpoint, wait_usable
    from eicctl.cli.target_prompt import specified_endpoint
    from eicctl.cli.view.progress import Waiting

    endpoint = specified_endpoint(session, endpoint)
    found = get_endpoint(session, endpoint)
    _check_type(session, found, endpoint, ip_address_type, preserve_client_ip)
    replaced = _replaced(session, found, group_ids)
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
    render.show(row_of(get_endpoint(session, found.id)), output=output, query=query, columns={})


def _replaced(session: Session, found: Endpoint, group_ids: Sequence[str]) -> list[ManagedGroup]:
    """The groups that eicctl has created for the endpoint, and that it is about to lose."""
    from eicctl.aws.security_groups import managed_groups

    if not group_ids:
        return []
    with contextlib.suppress(DeniedError):
        return [group for group in managed_groups(session, found) if group.id not in group_ids]
    return []


def _check_type(session: Session, found: Endpoint, name: str, kind: str | None, preserve: bool | None) -> None:
    """Refuse what EC2 would: only ipv4 preserves client IPs (docs/explanation/protocol.md#client-ip-preservation)."""
    if preserve and not kind and found.ip_address_type != "ipv4":
        raise UsageError(
            f"Endpoint {found.id} is {found.ip_address_type}; only ipv4 endpoints preserve client IPs",
            hint=session.command(
                "eicctl", "modify-endpoint", name, "--preserve-client-ip", "--ip-address-type", "ipv4"
            ),
        )
    if kind not in (None, "ipv4") and preserve is None and found.preserve_client_ip:
        raise UsageError(
            f"Endpoint {found.id} preserves client IPs; only ipv4 endpoints can",
            hint=session.command(
                "eicctl", "modify-endpoint", name, "--ip-address-type", str(kind), "--no-preserve-client-ip"
            ),
        )
