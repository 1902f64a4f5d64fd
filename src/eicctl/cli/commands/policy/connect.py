"""`eicctl policy connect`."""

from __future__ import annotations

from typing import Any

import click

from eicctl.cli.commands.policy.writing import scope_options, write


@click.command
@scope_options
def command(*, form: str, given: dict[str, Any]) -> None:
    """Generate a policy for connecting: opening tunnels, and pushing keys for the specified OS users.

    No AWS API is called. The policy is written to stdout, notes to stderr.

    \b
    Examples:
      eicctl policy connect --endpoint eice-0123456789abcdef0 --port 22 --cidr 10.0.1.0/24 --max-duration 900
      eicctl policy connect --port 22 --os-user ec2-user --instance-tag Team=web --account 123456789012
      eicctl policy connect --port 3389 --source-ip 203.0.113.0/24 --format terraform
    """
    write("connect", form, given)
