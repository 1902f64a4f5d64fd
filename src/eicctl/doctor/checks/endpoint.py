"""Whether an endpoint serves the target; without a target, whether the region has endpoints that serve connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eicctl.aws.endpoint_selection import NoEndpointError, dual_stack, serves
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.explicit_target import explicit_target
from eicctl.aws.targets import Found, with_endpoint
from eicctl.core.errors import DeniedError, NotFoundError, UnavailableError
from eicctl.core.model import Endpoint, Target
from eicctl.doctor.check import Check, Outcome, Segment, Status, failed_outcome, without_target
from eicctl.doctor.context import Context, required
from eicctl.support import pins


def run(context: Context) -> Outcome:
    """Select the endpoint, and keep it and the target that it leads to in the context."""
    session, request = context.session, context.request
    try:
        endpoints = context.candidate_endpoints()
    except DeniedError as error:
        context.target = explicit_target(session, request)
        if not context.target:
            raise
        message = f"{context.target.endpoint_id} (as specified; no permission to look it up)"
        return Outcome(Status.UNKNOWN, message, error.hint or "")
    try:
        target = explicit_target(session, request) or with_endpoint(
            session, request, required(context.found), endpoints
        )
    except NoEndpointError as error:
        if not error.vpc_owner:
            raise
        details = {"VpcId": required(context.found).location.vpc_id, "VpcOwnerId": error.vpc_owner}
        return replace(failed_outcome(error), details=details)
    context.target = target
    # The endpoint may have been given by its name.
    context.endpoint = next((one for one in endpoints if one.id == target.endpoint_id), endpoints[0])
    return endpoint_outcome(context.endpoint, target, context.found)


def endpoint_outcome(endpoint: Endpoint, target: Target, found: Found | None) -> Outcome:
    """Return the outcome for the endpoint that serves a target."""
    name = f"{endpoint.name} ({endpoint.id})" if endpoint.name else endpoint.id
    state = endpoint.state
    if endpoint.state_message and state != "create-complete":
        state += f" ({endpoint.state_message})"
    details = {
        "InstanceConnectEndpointId": endpoint.id,
        "Name": endpoint.name,
        "State": endpoint.state,
        "StateMessage": endpoint.state_message,
        "IpAddressType": endpoint.ip_address_type,
        "PreserveClientIp": endpoint.preserve_client_ip,
        "VpcId": endpoint.vpc_id,
        "SubnetId": endpoint.subnet_id,
        "SecurityGroupIds": list(endpoint.security_group_ids),
        "DnsName": target.endpoint_dns_name,
    }
    if not serves(endpoint, target.address):
        return Outcome(
            Status.FAILED,
            f"{name} is of type {endpoint.ip_address_type} and cannot reach {target.address}",
            pins.command(*dual_stack(endpoint)),
            exit_code=UnavailableError.default_exit_code,
            details=details,
        )
    message = f"{name} is {state}, {endpoint.ip_address_type}{_location(endpoint, found)}"
    return Outcome(Status.OK, message, details=details)


def _location(endpoint: Endpoint, found: Found | None) -> str:
    if not found:
        return ""
    if endpoint.vpc_id != found.location.vpc_id:
        return f", in a different VPC than the target ({endpoint.vpc_id})"
    if endpoint.subnet_id == found.location.subnet_id:
        return ", in the target's subnet"
    return f", in {endpoint.subnet_id} ({endpoint.availability_zone})"


def list_all(context: Context) -> Outcome:
    """List the endpoints, and keep them in the context."""
    context.endpoints = list_endpoints(context.session)
    return endpoints_outcome(context.endpoints, context.session.region)


def endpoints_outcome(endpoints: Sequence[Endpoint], region: str) -> Outcome:
    """Return the outcome for the endpoints of a region."""
    if not endpoints:
        return Outcome(
            Status.FAILED,
            f"No EC2 Instance Connect Endpoint in {region}",
            "eicctl create-endpoint --create-security-group --wait",
            exit_code=NotFoundError.default_exit_code,
        )
    details = {"InstanceConnectEndpoints": [{"InstanceConnectEndpointId": e.id, "State": e.state} for e in endpoints]}
    if not any(one.usable for one in endpoints):
        states = "; ".join(f"{one.id} is {one.state} {one.state_message}".rstrip() for one in endpoints)
        return Outcome(
            Status.FAILED,
            f"No endpoint in {region} is available: {states}",
            pins.command("eicctl", "show-endpoint", endpoints[0].id),
            exit_code=UnavailableError.default_exit_code,
            details=details,
        )
    names = [(f"{one.name} ({one.id})" if one.name else one.id, one.state) for one in endpoints]
    return Outcome(Status.OK, "; ".join(f"{name} is {state}" for name, state in names), details=details)


TARGET = Check(
    key="endpoint",
    title="Endpoint",
    order=50,
    run=run,
    needs=("target",),
    segment=Segment.TO_ENDPOINT,
    step="endpoint is available",
    inspects="its state with EC2's reason, its address family, its location",
    permissions=("ec2:DescribeInstanceConnectEndpoints",),
)

REGION = Check(
    key="endpoints",
    title="Endpoints",
    order=60,
    run=list_all,
    needs=("credentials", "region"),
    applies=without_target,
    inspects="without a target: the region's endpoints, and whether they serve connections",
    permissions=("ec2:DescribeInstanceConnectEndpoints",),
)
