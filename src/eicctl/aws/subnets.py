"""VPCs and subnets, as far as endpoints need them."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eicctl.aws.ec2_requests import exact_filters
from eicctl.aws.endpoint_selection import NoEndpointError, TargetLocation, serves
from eicctl.aws.errors import translated
from eicctl.aws.identity import caller_identity
from eicctl.aws.network import cidrs_of
from eicctl.aws.session import Session
from eicctl.core.errors import AmbiguousError, EicctlError, NotFoundError
from eicctl.core.model import Endpoint
from eicctl.support.threads import both

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import SubnetTypeDef


@dataclass(frozen=True, slots=True)
class ChosenSubnet:
    """A subnet for an endpoint, with the reason in words; `ip_address_type` is what an endpoint in it is by default."""

    subnet_id: str
    vpc_id: str
    reason: str
    ip_address_type: str


def describe_subnet(session: Session, subnet_id: str) -> ChosenSubnet:
    """Return a subnet that the user has named.

    Raises:
        NotFoundError: It does not exist.
    """
    with translated(f"look up {subnet_id}"):
        rows = session.client("ec2").describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    return ChosenSubnet(subnet_id, rows[0]["VpcId"], "as given", _type_of(rows[0]))


def choose_subnet(session: Session, vpc_id: str | None) -> ChosenSubnet:
    """Return the subnet of a VPC in which most instances run, or the one with most free addresses.

    Args:
        session: Access to AWS.
        vpc_id: The VPC, or None for the only one in the region.

    Raises:
        NotFoundError: There is no VPC, or it has no subnet.
        AmbiguousError: There are several VPCs.
    """
    vpc = vpc_id or _only_vpc(session)
    with translated(f"look up the subnets of {vpc}"):
        client = session.client("ec2")
        subnets = client.describe_subnets(Filters=exact_filters({"vpc-id": [vpc]}))["Subnets"]
        filters = exact_filters({"vpc-id": [vpc], "instance-state-name": ["running"]})
        pages = client.get_paginator("describe_instances").paginate(Filters=filters)
        running = Counter(
            row["SubnetId"] for page in pages for group in page["Reservations"] for row in group["Instances"]
        )
        if not subnets:
            client.describe_vpcs(VpcIds=[vpc])
    if not subnets:
        raise NotFoundError(f"VPC {vpc} has no subnet", hint=session.command("aws", "ec2", "describe-subnets"))
    best = max(subnets, key=lambda row: (running[row["SubnetId"]], row["AvailableIpAddressCount"], row["SubnetId"]))
    count = running[best["SubnetId"]]
    why = f"{count} running instances, most in {vpc}" if count else f"most free addresses in {vpc}"
    return ChosenSubnet(best["SubnetId"], vpc, f"{best['AvailabilityZone']}, {why}", _type_of(best))


def _type_of(subnet: SubnetTypeDef) -> str:
    families = {ipaddress.ip_network(cidr).version for cidr in cidrs_of(subnet)}
    return "dualstack" if len(families) > 1 else "ipv6" if families == {6} else "ipv4"


def why_no_endpoint(
    session: Session,
    place: TargetLocation,
    endpoints: Sequence[Endpoint],
    address: str,
    *,
    error: NoEndpointError,
    again: Sequence[str],
) -> NoEndpointError:
    """Return the error with what else may lead to a target whose VPC has no endpoint, as far as EC2 tells.

    Args:
        session: Access to AWS.
        place: Where the target is.
        endpoints: The endpoints of the region.
        address: The target's address.
        error: The error so far.
        again: The command with which the user would connect.
    """
    try:
        owner, peers = both(lambda: _other_owner(session, place.vpc_id), lambda: _peers(session, place.vpc_id))
    except EicctlError:
        return error
    text, hint = error.message, error.hint
    if owner:
        text += f" of this account; account {owner} shares the VPC, but other accounts cannot use its endpoints"
    fitting = (each for each in endpoints if each.vpc_id in peers and each.usable and not each.preserve_client_ip)
    if peer := next((each for each in fitting if serves(each, address)), None):
        text += f"; endpoint {peer.id} of the peered VPC {peer.vpc_id} may reach it"
        hint = session.command(*again, "--instance-connect-endpoint-id", peer.id)
    return NoEndpointError(text, hint=hint)


def _other_owner(session: Session, vpc_id: str) -> str:
    """Return the account that shares a VPC with the caller's; empty where it is the caller's own."""
    with translated(f"look up {vpc_id}"):
        owner = str(session.client("ec2").describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0].get("OwnerId", ""))
    return owner if owner and owner != caller_identity(session).account else ""


def _peers(session: Session, vpc_id: str) -> set[str]:
    """Return the VPCs to which a VPC has an active peering connection."""
    with translated("look up the peering connections"):
        pages = session.client("ec2").get_paginator("describe_vpc_peering_connections").paginate()
        rows = [row for page in pages for row in page["VpcPeeringConnections"]]
    pairs = [
        {row["RequesterVpcInfo"].get("VpcId", ""), row["AccepterVpcInfo"].get("VpcId", "")}
        for row in rows
        if row.get("Status", {}).get("Code") == "active"
    ]
    return {peer for pair in pairs if vpc_id in pair for peer in pair - {vpc_id}}


def _only_vpc(session: Session) -> str:
    with translated("look up the VPCs"):
        vpcs = session.client("ec2").describe_vpcs()["Vpcs"]
    if not vpcs:
        raise NotFoundError(
            f"No VPC in {session.location}", hint=session.command("eicctl", "list-endpoints", "--all-regions")
        )
    if len(vpcs) > 1:
        listed = "; ".join(f"{row['VpcId']} ({', '.join(cidrs_of(row))})" for row in vpcs)
        raise AmbiguousError(
            f"Multiple VPCs in {session.location}: {listed}",
            hint=session.command("eicctl", "create-endpoint", "--vpc-id", str(vpcs[0]["VpcId"]), "--wait"),
        )
    return str(vpcs[0]["VpcId"])
