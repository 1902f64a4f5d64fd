"""`eicctl show-endpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.param_types import ENDPOINT
from eicctl.cli.view import render
from eicctl.cli.view.endpoint import row_of

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.command
@click.argument("endpoint", type=ENDPOINT)
@options.output_options
@options.with_session
def command(*, session: Session, endpoint: str, output: str, query: str | None) -> None:
    """Show an endpoint in detail.

    ENDPOINT is an ID or a Name tag.

    \b
    Examples:
      eicctl show-endpoint eice-0123456789abcdef0
      eicctl show-endpoint office --query State --output text
    """
    from eicctl.aws.endpoints import get_endpoint

    render.show(row_of(get_endpoint(session, endpoint)), output=output, query=query, columns={})
