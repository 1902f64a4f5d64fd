"""Whether client IP preservation, if it is on, supports the target."""

from __future__ import annotations

from eicctl.doctor.network import network_check
from eicctl.reachability.evaluate import CLIENT_IP

CHECK = network_check(
    "client-ip",
    "Client IP preservation",
    90,
    CLIENT_IP,
    step="client IP preservation",
    cause="client IP preservation does not support {target}",
    inspects="whether it supports this target, where it is on",
    permissions=("ec2:DescribeVpcs", "ec2:DescribeSubnets"),
)
