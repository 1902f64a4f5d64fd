"""Endpoints as results: AWS's names, so that queries written for the AWS CLI work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from eicctl.core.model import Endpoint
from eicctl.view import messages

if TYPE_CHECKING:
    from eicctl.aws.security_groups import ManagedGroup

COLUMNS = {
    "ID": "InstanceConnectEndpointId",
    "Name": "Name",
    "State": "State",
    "VPC": "VpcId",
    "Subnet": "SubnetId",
    "AZ": "AvailabilityZone",
    "Type": "IpAddressType",
    "Preserves client IP": "PreserveClientIp",
}


DROPPABLE = ("Preserves client IP", "Type", "Subnet", "AZ", "VPC", "State")
"""Columns that a narrow terminal does without, the least important first."""


def row_of(endpoint: Endpoint) -> dict[str, object]:
    """Return an endpoint as a JSON object."""
    return {
        "InstanceConnectEndpointId": endpoint.id,
        "Name": endpoint.name,
        "State": endpoint.state,
        "StateMessage": endpoint.state_message,
        "Region": endpoint.region,
        "VpcId": endpoint.vpc_id,
        "SubnetId": endpoint.subnet_id,
        "AvailabilityZone": endpoint.availability_zone,
        "IpAddressType": endpoint.ip_address_type,
        "PreserveClientIp": endpoint.preserve_client_ip,
        "SecurityGroupIds": list(endpoint.security_group_ids),
        "NetworkInterfaceIds": list(endpoint.network_interface_ids),
        "DnsName": endpoint.dns_name,
        "FipsDnsName": endpoint.fips_dns_name,
        "InstanceConnectEndpointArn": endpoint.arn,
        "CreatedAt": endpoint.created_at,
        "Tags": [{"Key": key, "Value": value} for key, value in endpoint.tags.items()],
    }


def delete_question(endpoint: Endpoint) -> str:
    """Return the question before an endpoint is deleted."""
    name = f"{endpoint.name} ({endpoint.id})" if endpoint.name else endpoint.id
    return f"Delete endpoint {name} in VPC {endpoint.vpc_id}?"


def delete_group_question(group: ManagedGroup) -> str:
    """Return the question before an endpoint's security group is deleted with it."""
    rules = f", and the rules in {', '.join(group.rules)} that refer to it" if group.rules else ""
    return f"Also delete security group {group.id} ({group.name}), created by eicctl{rules}?"


def would_call(operation: str, *words: str, **request: object) -> None:
    """Print a line of `--dry-run`: an API call that is not made."""
    values = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in request.items())
    messages.out(" ".join(["Would call", operation, *words, *values]))
