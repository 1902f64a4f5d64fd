"""`eicctl policy auditor`."""

from __future__ import annotations

from typing import Any

import click

from eicctl.cli.commands.policy.writing import scope_options, write


@click.command
@scope_options
def command(*, form: str, given: dict[str, Any]) -> None:
    """Generate a policy for viewing instances, endpoints and CloudTrail events, without permission to connect.

    \b
    Examples:
      eicctl policy auditor
      eicctl policy auditor --source-ip 203.0.113.0/24 --format terraform
    """
    write("auditor", form, given)
