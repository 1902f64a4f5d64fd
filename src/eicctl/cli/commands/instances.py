"""`eicctl instances`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from eicctl.cli import options
from eicctl.cli.view import messages, render

if TYPE_CHECKING:
    from eicctl.aws.session import Session

_COLUMNS = {
    "Name": "Name",
    "ID": "InstanceId",
    "State": "State",
    "Platform": "Platform",
    "Address": "PrivateIpAddress",
    "AZ": "AvailabilityZone",
    "Endpoint": "InstanceConnectEndpointId",
}


@click.command
@options.with_filters("instances", "instance-state-name", "running")
@options.output_options
@options.with_session
def command(*, session: Session, filters: dict[str, list[str]], output: str, query: str | None) -> None:
    """List instances and the endpoint that serves each.

    \b
    Examples:
      eicctl instances
      eicctl instances --state running --tag Role=web
      eicctl instances --query "[?Platform=='windows'].InstanceId" --output text
    """
    from eicctl.aws.endpoints import list_endpoints
    from eicctl.aws.instances import list_instances
    from eicctl.aws.targets import served_by
    from eicctl.support.threads import both

    instances, endpoints = both(lambda: list_instances(session, filters=filters), lambda: list_endpoints(session))
    rows = []
    for instance in instances:
        endpoint = served_by(endpoints, instance)
        rows.append(
            {
                "Name": instance.name,
                "InstanceId": instance.id,
                "State": instance.state,
                "Platform": instance.platform,
                "PrivateIpAddress": instance.private_ip,
                "Ipv6Address": instance.ipv6,
                "AvailabilityZone": instance.availability_zone,
                "VpcId": instance.vpc_id,
                "SubnetId": instance.subnet_id,
                "InstanceConnectEndpointId": endpoint.id if endpoint else None,
            }
        )
    if not rows and output == "table" and not query:
        messages.line(f"No {'matching ' if filters else ''}instances in {session.location}")
    else:
        if output == "table" and not query:
            rows = [{**row, "PrivateIpAddress": row["PrivateIpAddress"] or row["Ipv6Address"]} for row in rows]
        render.show(rows, output=output, query=query, columns=_COLUMNS)
