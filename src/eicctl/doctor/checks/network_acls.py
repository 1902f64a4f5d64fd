"""Whether the network ACLs of both subnets allow the connection, and its return traffic."""

from __future__ import annotations

import re
from dataclasses import replace

from eicctl.doctor.check import Outcome, Status
from eicctl.doctor.context import Context
from eicctl.doctor.network import network_check
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import listed

_DETAILED = network_check(
    "network-acls",
    "Network ACLs",
    120,
    *(ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT, ENDPOINT_ACL_IN),
    step="network ACLs",
    cause="a network ACL blocks the connection to {target}",
    inspects="both subnets, both directions, with the ephemeral ports",
    permissions=("ec2:DescribeNetworkAcls",),
)


def run(context: Context) -> Outcome:
    """Evaluate the four crossings of a subnet's edge; if all are allowed, one short message says so."""
    outcome = _DETAILED.run(context)
    acls = tuple(dict.fromkeys(re.findall(r"\bacl-[0-9a-z]+", outcome.message)))
    if outcome.status is Status.OK and acls:
        return replace(outcome, message=f"{listed(acls)} allow{'' if acls[1:] else 's'} both directions")
    return outcome


CHECK = replace(_DETAILED, run=run)
