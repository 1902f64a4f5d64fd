"""`eicctl show-endpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import ENDPOINT
from eicctl.view import render
from eicctl.view.endpoint import row_of

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.command
@click.argument("endpoint", required=False, type=ENDPOINT)
@click.option(
    "--format",
    "language",
    type=click.Choice(["terraform"]),
    help="Print its configuration for this tool, to import it.",
)
@options.output_options
@options.with_session
def command(*, session: Session, endpoint: str | None, language: str | None, output: str, query: str | None) -> None:
    """Show an endpoint in detail.

    ENDPOINT is an ID or a Name tag.

    \b
    Examples:
      eicctl show-endpoint eice-0123456789abcdef0
      eicctl show-endpoint office --query State --output text
      eicctl show-endpoint office --format terraform > endpoint.tf
    """
    from eicctl.aws.endpoints import get_endpoint
    from eicctl.cli.target_prompt import specified_endpoint

    found = get_endpoint(session, specified_endpoint(session, endpoint))
    if language:
        from eicctl.view.infrastructure import existing

        click.echo(existing(found), nl=False)
        return
    render.show(row_of(found), output=output, query=query)
