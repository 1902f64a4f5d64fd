"""`eicctl list-endpoints`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.view import messages, render
from eicctl.view.endpoint import COLUMNS, DROPPABLE, row_of

if TYPE_CHECKING:
    from eicctl.aws.session import Session


@click.command
@options.with_filters("endpoints", "state", "create-complete")
@click.option("--all-regions", is_flag=True, help="Search all regions that are enabled for the account.")
@options.output_options
@options.with_session
def command(
    *,
    session: Session,
    filters: dict[str, list[str]],
    all_regions: bool,
    output: str,
    query: str | None,
) -> int:
    """List endpoints in one region or in all regions.

    Regions that do not respond are reported on stderr, and the exit code is 1.

    \b
    Examples:
      eicctl list-endpoints
      eicctl list-endpoints --all-regions --state create-complete
      eicctl list-endpoints --tag team=web --query '[].InstanceConnectEndpointId' --output text
    """
    from eicctl.aws.endpoints import list_endpoints, list_in_all_regions

    columns = dict(COLUMNS)
    if all_regions:
        found, failures = list_in_all_regions(session, filters=filters)
        columns = {"Region": "Region", **columns}
    else:
        found, failures = list_endpoints(session, filters=filters), {}
    rows = [row_of(endpoint) for endpoint in found]
    if not rows and output == "table" and not query:
        what = "No matching endpoints" if filters else "No EC2 Instance Connect Endpoint"
        messages.line(f"{what} in {'any region' if all_regions else session.location}")
        if not filters:
            messages.line(f"hint: {session.command('eicctl', 'create-endpoint', '--wait')}")
    else:
        render.show(rows, output=output, query=query, columns=columns, droppable=DROPPABLE)
    for region, error in failures.items():
        messages.line(f"{region}: {error.message}")
    return 1 if failures else 0
