"""Whether the network ACLs of both subnets allow the connection, and its return traffic."""

from __future__ import annotations

import re
from dataclasses import replace

from eicctl.doctor.check import Check, Outcome, Segment, Status
from eicctl.doctor.context import Context
from eicctl.doctor.network import rules_outcome
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import listed


def run(context: Context) -> Outcome:
    """Evaluate the four crossings of a subnet's edge."""
    crossings = (ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT, ENDPOINT_ACL_IN)
    outcome = rules_outcome(context, *crossings, cause="a network ACL blocks the connection to {target}")
    acls = tuple(dict.fromkeys(re.findall(r"\bacl-[0-9a-z]+", outcome.message)))
    if outcome.status is Status.OK and acls:  # the messages of the four crossings are long, and all say the same
        return replace(outcome, message=f"{listed(acls)} allow{'' if acls[1:] else 's'} both directions")
    return outcome


CHECK = Check(
    key="network-acls",
    title="Network ACLs",
    order=120,
    run=run,
    needs=("target", "endpoint"),
    segment=Segment.TO_TARGET,
    step="network ACLs",
    predicts_tunnel=True,
    inspects="both subnets, both directions, with the ephemeral ports",
    permissions=("ec2:DescribeNetworkAcls",),
)
