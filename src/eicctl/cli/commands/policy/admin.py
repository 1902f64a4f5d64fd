"""`eicctl policy admin`."""

from __future__ import annotations

from typing import Any

import click

from eicctl.cli.commands.policy.writing import scope_options, write


@click.command
@scope_options
def command(*, form: str, given: dict[str, Any]) -> None:
    """Generate a policy for managing endpoints, without permission to connect.

    It allows both spellings of the service-linked role that creating an endpoint needs.

    \b
    Examples:
      eicctl policy admin --account 123456789012 --region eu-central-1
      eicctl policy admin --format cloudformation
    """
    write("admin", form, given)
