"""Whether client IP preservation, if it is on, supports the target."""

from __future__ import annotations

from eicctl.doctor.check import Check, Outcome, Segment
from eicctl.doctor.context import Context
from eicctl.doctor.network import rules_outcome
from eicctl.reachability.evaluate import CLIENT_IP


def run(context: Context) -> Outcome:
    """Evaluate the endpoint's setting."""
    return rules_outcome(context, CLIENT_IP, cause="client IP preservation does not support {target}")


CHECK = Check(
    key="client-ip",
    title="Client IP preservation",
    order=90,
    run=run,
    needs=("target", "endpoint"),
    segment=Segment.TO_TARGET,
    step="client IP preservation",
    predicts_tunnel=True,
    inspects="whether it supports this target, where it is on",
    permissions=("ec2:DescribeVpcs", "ec2:DescribeSubnets"),
)
