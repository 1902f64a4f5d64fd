"""`eicctl policy connect`."""

from __future__ import annotations

from typing import Any

import click

from eicctl.cli.commands.policy.writing import scope_options, write


@click.command
@scope_options
def command(*, form: str, given: dict[str, Any]) -> None:
    """Write a policy that lets people connect: open tunnels, and push keys for the OS users given.

    AWS is asked nothing. The policy goes to stdout, what to know of it to stderr.

    \b
    Examples:
      eicctl policy connect --endpoint eice-0123456789abcdef0 --port 22 --cidr 10.0.1.0/24 --max-duration 900
      eicctl policy connect --port 22 --os-user ec2-user --instance-tag Team=web --account 123456789012
      eicctl policy connect --port 3389 --source-ip 203.0.113.0/24 --format terraform
    """
    write("connect", form, given)
