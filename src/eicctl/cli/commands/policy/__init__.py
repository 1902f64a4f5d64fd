"""`eicctl policy`: IAM policies for connecting, administration and auditing."""

from __future__ import annotations

import click

from eicctl.cli.lazy_group import LazyGroup

COMMANDS = {
    "connect": "Write a policy that lets people connect.",
    "admin": "Write a policy that lets people manage endpoints.",
    "auditor": "Write a policy that lets people see endpoints and who has connected.",
    "lint": "Tell what is missing in a policy, or too wide.",
    "check": "Tell whether the caller's policies let a connection through.",
}


@click.group(cls=LazyGroup, package="eicctl.cli.commands.policy", summaries=COMMANDS)
@click.pass_context
def command(ctx: click.Context) -> None:
    """IAM policies of least privilege: write, examine, check.

    Connecting (the data plane) and managing endpoints (the control plane) are separate rights.

    \b
    Examples:
      eicctl policy connect --endpoint eice-0123456789abcdef0 --port 22 --cidr 10.0.1.0/24 --os-user ec2-user
      eicctl policy lint policy.json
      eicctl policy check web-1
    """
    defaults = dict(ctx.default_map or {})
    ctx.default_map = {name: dict(defaults) for name in COMMANDS}
