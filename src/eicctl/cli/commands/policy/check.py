"""`eicctl policy check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import INSTANCE
from eicctl.cli.view import messages
from eicctl.core.errors import DeniedError
from eicctl.core.model import MAX_TUNNEL_DURATION
from eicctl.core.request import ConnectRequest

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.command
@click.argument("target", required=False, type=INSTANCE)
@options.target_settings
@click.option(
    "--port",
    "--remote-port",
    type=click.IntRange(1, 65535),
    help="Port of the target, 22 or 3389; default: 3389 for Windows, else 22.",
)
@click.option(
    "--max-tunnel-duration",
    type=click.IntRange(1, MAX_TUNNEL_DURATION),
    metavar="SECONDS",
    help="Connection duration to simulate; default: none.",
)
@click.option("--os-user", "--user", metavar="NAME", help="OS user to simulate pushing a key for; default: no key.")
@options.output_options
@options.with_session
def command(
    *,
    session: Session,
    target: str | None,
    instance_id: str | None,
    private_ip_address: str | None,
    instance_connect_endpoint_id: str | None,
    instance_connect_endpoint_dns_name: str | None,
    port: int | None,
    max_tunnel_duration: int | None,
    os_user: str | None,
    output: str,
    query: str | None,
) -> int:
    """Simulate whether the caller's policies allow a connection. Nothing is opened.

    Uses IAM's policy simulator; without permission to use it, results are "unknown". The exit code is 4 if anything is
    denied, else 0.

    \b
    Examples:
      eicctl policy check web-1 --os-user ec2-user
      eicctl policy check --private-ip-address 10.0.1.20 --port 3389
      eicctl policy check web-1 --max-tunnel-duration 900 --output json
    """
    from eicctl.cli.view import render
    from eicctl.policy.check import check_target

    request = ConnectRequest(
        remote_port=port,
        target=target or "",
        instance_id=instance_id or "",
        private_ip_address=private_ip_address or "",
        endpoint_id=instance_connect_endpoint_id or "",
        endpoint_dns_name=instance_connect_endpoint_dns_name or "",
    )
    checks = check_target(session, request, duration=max_tunnel_duration, os_user=os_user or "")
    rows = [{"Action": one.action, "Status": one.status, "Resource": one.resource, "Reason": one.why} for one in checks]
    reasons = {one.why for one in checks}
    columns = {"Action": "Action", "Status": "Status"}
    if len(reasons) > 1:
        columns["Reason"] = "Reason"
    elif any(reasons) and output == "table":  # one for all, as where IAM may not be asked: said once
        messages.line(next(iter(reasons)))
    render.show(rows, output=output, query=query, columns=columns)
    return DeniedError.default_exit_code if any(one.status == "denied" for one in checks) else 0
