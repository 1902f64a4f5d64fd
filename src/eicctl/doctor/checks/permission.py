"""Whether the caller's policies allow the tunnel."""

from __future__ import annotations

from eicctl.aws.identity import OPEN_TUNNEL
from eicctl.doctor.check import Check, Segment
from eicctl.doctor.permissions import permission_outcome

CHECK = Check(
    key="permission",
    title="OpenTunnel permission",
    order=80,
    run=lambda context: permission_outcome(context, OPEN_TUNNEL),
    needs=("target", "endpoint"),
    segment=Segment.TO_ENDPOINT,
    step="OpenTunnel permission",
    predicts_tunnel=True,
    inspects="`OpenTunnel` on this endpoint, for this port, address and duration",
    permissions=("iam:SimulatePrincipalPolicy", "iam:GetRole"),
)
