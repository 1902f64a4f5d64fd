"""Endpoints as results: AWS's names, so that queries written for the AWS CLI work."""

from __future__ import annotations

from typing import Any

from eicctl.core.model import Endpoint

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


def row_of(endpoint: Endpoint) -> dict[str, Any]:
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
