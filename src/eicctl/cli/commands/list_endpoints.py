"""`eicctl list-endpoints`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eicctl.cli import account_options, options
from eicctl.view import messages, render
from eicctl.view.endpoint import COLUMNS, DROPPABLE, row_of

if TYPE_CHECKING:
    from eicctl.aws.accounts import Selection
    from eicctl.aws.session import Session
    from eicctl.core.model import Endpoint


@click.command
@options.with_filters(
    *("endpoints", "state", "create-complete"),
    *(f"{step}-{state}" for step in ("create", "update", "delete") for state in ("in-progress", "complete", "failed")),
)
@click.option("--all-regions", is_flag=True, help="Search all regions that are enabled for the account.")
@options.output_options
@account_options.with_accounts
def command(
    *,
    session: Session,
    selected: Selection,
    filters: dict[str, list[str]],
    all_regions: bool,
    output: str,
    query: str | None,
) -> int:
    """List endpoints in one region or in all regions.

    Regions and accounts that cannot be read are reported on stderr, and the exit code is 1.

    \b
    Examples:
      eicctl list-endpoints
      eicctl list-endpoints --all-regions --state create-complete
      eicctl list-endpoints --profile 'dev-*' --all-regions
      eicctl list-endpoints --accounts 111122223333,444455556666 --role ReadOnly
      eicctl list-endpoints --tag team=web --query '[].InstanceConnectEndpointId' --output text
    """
    from eicctl.aws.accounts import in_accounts
    from eicctl.aws.endpoint_selection import shared_vpc
    from eicctl.aws.endpoints import list_endpoints
    from eicctl.aws.network import shared_vpcs

    def look(session: Session, region: str) -> list[Endpoint]:
        return list_endpoints(session, filters=filters, region=region)

    results = in_accounts(session, selected, look, all_regions=all_regions)
    rows = [
        {**account_options.keys(selected, account), **row_of(endpoint)}
        for account, _, found in results.found
        for endpoint in found
    ]
    columns = account_options.columns(selected) | ({"Region": "Region"} if all_regions else {}) | COLUMNS
    if rows or output != "table" or query:
        render.show(rows, output=output, query=query, columns=columns, droppable=(*DROPPABLE, "Account ID"))
    elif results.found:
        what = "No matching endpoints" if filters else "No EC2 Instance Connect Endpoint"
        messages.line(f"{what} in {account_options.searched(selected, session, all_regions=all_regions)}")
        if not filters and not selected.several:
            create = ["eicctl", "create-endpoint", "--wait"]
            for vpc, owner in {} if all_regions else shared_vpcs(session).items():
                messages.line(shared_vpc(vpc, owner))
                create = ["eicctl", "create-endpoint", "--vpc-id", vpc, "--create-security-group", "--wait"]
            messages.line(f"hint: {session.command(*create)}")
    if output == "table" and not query:
        commands = [
            {"AccountId": account.id, "Command": account.command("eicctl", "show-endpoint", each.id, region=region)}
            for account, region, found in results.found
            for each in found
        ]
        account_options.explain(selected, commands, [account for account, _, _ in results.found])
    return account_options.report(selected, results.failures)
