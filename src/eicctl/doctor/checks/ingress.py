"""Whether the target's security groups allow the connection in."""

from __future__ import annotations

from eicctl.doctor.check import Check, Outcome, Segment
from eicctl.doctor.context import Context
from eicctl.doctor.network import rules_outcome
from eicctl.reachability.groups import TARGET_INGRESS


def run(context: Context) -> Outcome:
    """Evaluate the inbound rules."""
    groups = context.instance.security_group_ids if context.instance else ()
    cause = "the security groups of {target} do not allow the endpoint"
    return rules_outcome(context, TARGET_INGRESS, cause=cause, resources=tuple(groups))


CHECK = Check(
    key="ingress",
    title="Ingress",
    order=130,
    run=run,
    needs=("target", "endpoint"),
    segment=Segment.TO_TARGET,
    step="target ingress",
    predicts_tunnel=True,
    inspects="inbound rules of the target's security groups",
    permissions=("ec2:DescribeSecurityGroups",),
)
