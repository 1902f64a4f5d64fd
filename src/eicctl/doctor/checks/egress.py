"""Whether the endpoint's security groups allow the connection out."""

from __future__ import annotations

from eicctl.doctor.check import Check, Outcome, Segment
from eicctl.doctor.context import Context
from eicctl.doctor.network import rules_outcome
from eicctl.reachability.groups import ENDPOINT_EGRESS


def run(context: Context) -> Outcome:
    """Evaluate the outbound rules."""
    groups = context.endpoint.security_group_ids if context.endpoint else ()
    cause = "the endpoint's security groups do not allow traffic to {target}"
    return rules_outcome(context, ENDPOINT_EGRESS, cause=cause, resources=tuple(groups))


CHECK = Check(
    key="egress",
    title="Egress",
    order=100,
    run=run,
    needs=("target", "endpoint"),
    segment=Segment.TO_TARGET,
    step="endpoint egress",
    predicts_tunnel=True,
    inspects="outbound rules of the endpoint's security groups",
    permissions=("ec2:DescribeSecurityGroups",),
)
