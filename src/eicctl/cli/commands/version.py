"""`eicctl version`: what a report of a defect needs."""

from __future__ import annotations

import click

from eicctl.cli import options


@click.command
@options.output_options
def command(*, output: str, query: str | None) -> None:
    """Show the versions, folders and surroundings that a bug report needs.

    Of variables it shows names, and no values: the result can be published.

    \b
    Examples:
      eicctl version
      eicctl version --output json
      eicctl version --query Packages.botocore --output text
    """
    from eicctl.about import about
    from eicctl.cli.view import render

    render.show(about(), output=output, query=query, columns={})
