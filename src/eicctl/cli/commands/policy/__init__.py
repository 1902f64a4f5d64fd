"""`eicctl policy`: IAM policies for connecting, administration and auditing."""

from __future__ import annotations

import click

from eicctl.cli.lazy_group import LazyGroup

COMMANDS = {
    "connect": "Generate a policy for connecting.",
    "admin": "Generate a policy for managing endpoints.",
    "auditor": "Generate a policy for auditors: endpoints, and who connected.",
    "lint": "Lint a policy: missing permissions, and too broad ones.",
    "check": "Simulate whether the caller's policies allow a connection.",
}


@click.group(cls=LazyGroup, package="eicctl.cli.commands.policy", summaries=COMMANDS)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Generate, lint and simulate least-privilege IAM policies.

    Connecting (the data plane) and managing endpoints (the control plane) are separate permissions.

    \b
    Examples:
      eicctl policy connect --endpoint eice-0123456789abcdef0 --port 22 --cidr 10.0.1.0/24 --os-user ec2-user
      eicctl policy lint policy.json
      eicctl policy check web-1
    """
    defaults = dict(ctx.default_map or {})
    ctx.default_map = {name: dict(defaults) for name in COMMANDS}
