"""Whether the region has endpoints that serve connections, where no target is given."""

from __future__ import annotations

from collections.abc import Sequence

from eicctl.aws.endpoints import list_endpoints
from eicctl.core.errors import NotFoundError, UnavailableError
from eicctl.core.model import Endpoint
from eicctl.doctor.check import Check, Outcome, Status, without_target
from eicctl.doctor.context import Context
from eicctl.support import pins


def run(context: Context) -> Outcome:
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


CHECK = Check(
    key="endpoints",
    title="Endpoints",
    order=60,
    run=run,
    needs=("credentials", "region"),
    applies=without_target,
    inspects="without a target: the region's endpoints, and whether they serve connections",
    permissions=("ec2:DescribeInstanceConnectEndpoints",),
)
