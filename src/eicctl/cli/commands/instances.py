"""`eicctl instances`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from eicctl.cli import account_options, options
from eicctl.view import messages, render

if TYPE_CHECKING:
    from eicctl.aws.accounts import Account, Selection
    from eicctl.aws.session import Session

_COLUMNS = {
    "Name": "Name",
    "ID": "InstanceId",
    "State": "State",
    "Type": "InstanceType",
    "Platform": "Platform",
    "Address": "PrivateIpAddress",
    "AZ": "AvailabilityZone",
    "VPC": "VpcName",
    "Endpoint": "EndpointName",
}

_Row = dict[str, str | None]

_DROPPABLE = ("Type", "AZ", "Platform", "VPC", "Address", "State")
"""Columns that a narrow terminal does without, the least important first."""


@click.command
@click.option("--name", "globs", metavar="GLOB", multiple=True, help="Only this name (web-*); repeatable.")
@click.option(
    "--vpc", "--vpc-id", "vpcs", metavar="ID|NAME", multiple=True, help="Only instances in this VPC; repeatable."
)
@options.with_filters(
    *("instances", "instance-state-name"),
    *("running", "pending", "stopping", "stopped", "shutting-down", "terminated"),
    vpc=False,
)
@click.option("--all-regions", is_flag=True, help="Search all regions that are enabled for the account.")
@options.output_options
@account_options.with_accounts
def command(
    *,
    session: Session,
    selected: Selection,
    globs: tuple[str, ...],
    vpcs: tuple[str, ...],
    filters: dict[str, list[str]],
    all_regions: bool,
    output: str,
    query: str | None,
) -> int:
    """List instances and the endpoint that serves each.

    Regions and accounts that cannot be read are reported on stderr, and the exit code is 1.

    \b
    Examples:
      eicctl instances
      eicctl instances --name 'web-*' --state running --tag Role=web
      eicctl instances --all-regions --vpc shared
      eicctl instances --profile 'dev-*' --profile prod
      eicctl instances --accounts all --role ReadOnly --all-regions
      eicctl instances --query "[?Platform=='windows'].InstanceId" --output text
    """
    from eicctl.aws.accounts import in_accounts

    def look(session: Session, region: str) -> list[_Row]:
        return _rows(session, region, filters, globs, vpcs)

    results = in_accounts(session, selected, look, all_regions=all_regions)
    rows = [
        {**account_options.keys(selected, account), **row, **_command(selected, account, row)}
        for account, _, found in results.found
        for row in found
    ]
    if output == "table" and not query:
        if not rows and results.found:
            where = account_options.searched(selected, session, all_regions=all_regions)
            messages.line(f"No {'matching ' if filters or globs or vpcs else ''}instances in {where}")
        rows = [_for_people(row) for row in rows]
    if rows or output != "table" or query:
        columns = account_options.columns(selected) | ({"Region": "Region"} if all_regions else {}) | _COLUMNS
        render.show(rows, output=output, query=query, columns=columns, droppable=(*_DROPPABLE, "Account ID"))
    if output == "table" and not query:
        account_options.explain(selected, rows, [account for account, _, _ in results.found])
    return account_options.report(selected, results.failures)


def _command(selected: Selection, account: Account, row: _Row) -> dict[str, str]:
    """Return the command that connects to an instance of one of several accounts, as JSON has it."""
    if not selected.several:
        return {}
    command = "rdp" if row["Platform"] == "windows" else "ssh"
    name = row["Name"] or row["InstanceId"]
    return {"Command": account.command("eicctl", command, str(name), region=str(row["Region"]))}


def _rows(
    session: Session, region: str, filters: dict[str, list[str]], globs: Sequence[str], vpcs: Sequence[str]
) -> list[_Row]:
    """Return the instances of a region as JSON has them."""
    from eicctl.aws.endpoints import list_endpoints
    from eicctl.aws.instances import list_instances
    from eicctl.aws.network import vpc_names
    from eicctl.aws.targets import served_by
    from eicctl.support.threads import begin

    naming, listing = begin(lambda: vpc_names(session, region)), begin(lambda: list_endpoints(session, region=region))
    patterns = {"tag:Name": list(globs)} if globs else None
    instances = list_instances(session, filters=filters, patterns=patterns, region=region)
    endpoints, names = listing.result(), naming.result()
    rows = []
    for instance in instances:
        if vpcs and not {instance.vpc_id, names.get(instance.vpc_id)} & set(vpcs):
            continue
        endpoint = served_by(endpoints, instance)
        rows.append(
            {
                "Name": instance.name,
                "InstanceId": instance.id,
                "State": instance.state,
                "InstanceType": instance.instance_type,
                "Platform": instance.platform,
                "PrivateIpAddress": instance.private_ip,
                "Ipv6Address": instance.ipv6,
                "Region": instance.region,
                "AvailabilityZone": instance.availability_zone,
                "VpcId": instance.vpc_id,
                "VpcName": names.get(instance.vpc_id, ""),
                "SubnetId": instance.subnet_id,
                "InstanceConnectEndpointId": endpoint.id if endpoint else None,
                "EndpointName": endpoint.name if endpoint else None,
            }
        )
    return rows


def _for_people(row: _Row) -> _Row:
    """Return a row of the table: a name where there is one, else the ID."""
    return row | {
        "PrivateIpAddress": row["PrivateIpAddress"] or row["Ipv6Address"],
        "VpcName": row["VpcName"] or row["VpcId"],
        "EndpointName": row["EndpointName"] or row["InstanceConnectEndpointId"],
    }
