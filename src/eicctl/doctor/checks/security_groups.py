"""Whether the security groups of the endpoint allow the connection out, and those of the target allow it in."""

from __future__ import annotations

from eicctl.doctor.network import network_check
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS

EGRESS = network_check(
    "egress",
    "Egress",
    100,
    ENDPOINT_EGRESS,
    step="endpoint egress",
    cause="the endpoint's security groups do not allow traffic to {target}",
    inspects="outbound rules of the endpoint's security groups",
    permissions=("ec2:DescribeSecurityGroups",),
    resources=lambda context: context.endpoint.security_group_ids if context.endpoint else (),
)

INGRESS = network_check(
    "ingress",
    "Ingress",
    130,
    TARGET_INGRESS,
    step="target ingress",
    cause="the security groups of {target} do not allow the endpoint",
    inspects="inbound rules of the target's security groups",
    permissions=("ec2:DescribeSecurityGroups",),
    resources=lambda context: context.instance.security_group_ids if context.instance else (),
)
