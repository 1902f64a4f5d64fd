"""Whether routes lead from the endpoint's subnet to the target's, and back."""

from __future__ import annotations

from eicctl.doctor.check import Check, Outcome, Segment
from eicctl.doctor.context import Context
from eicctl.doctor.network import rules_outcome
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT


def run(context: Context) -> Outcome:
    """Evaluate the route tables of both subnets."""
    ends = (context.endpoint, context.instance)
    subnets = tuple(dict.fromkeys(end.subnet_id for end in ends if end and end.subnet_id))
    cause = "no route leads from the endpoint to {target}, or back"
    return rules_outcome(context, ROUTE_OUT, ROUTE_BACK, cause=cause, resources=subnets)


CHECK = Check(
    key="routes",
    title="Routes",
    order=110,
    run=run,
    needs=("target", "endpoint"),
    segment=Segment.TO_TARGET,
    step="routes",
    predicts_tunnel=True,
    inspects="from subnet to subnet and back",
    permissions=("ec2:DescribeRouteTables",),
)
