"""Whether routes lead from the endpoint's subnet to the target's, and back."""

from __future__ import annotations

from eicctl.doctor.context import Context
from eicctl.doctor.network import network_check
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT


def _subnets(context: Context) -> tuple[str, ...]:
    ends = (context.endpoint, context.instance)
    return tuple(dict.fromkeys(end.subnet_id for end in ends if end and end.subnet_id))


CHECK = network_check(
    "routes",
    "Routes",
    110,
    ROUTE_OUT,
    ROUTE_BACK,
    step="routes",
    cause="no route leads from the endpoint to {target}, or back",
    inspects="from subnet to subnet and back",
    permissions=("ec2:DescribeRouteTables",),
    resources=_subnets,
)
