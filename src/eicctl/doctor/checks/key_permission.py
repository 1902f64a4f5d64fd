"""Whether the caller's policies allow pushing a key."""

from __future__ import annotations

from eicctl.aws.identity import SEND_KEY
from eicctl.doctor.check import Check, Segment, for_ssh_login
from eicctl.doctor.permissions import permission_outcome

CHECK = Check(
    key="key-permission",
    title="SendSSHPublicKey permission",
    order=140,
    run=lambda context: permission_outcome(context, SEND_KEY),
    needs=("target", "endpoint"),
    applies=for_ssh_login,
    segment=Segment.LOGIN,
    step="SendSSHPublicKey permission",
    inspects="`SendSSHPublicKey` on this instance, for this OS user",
    permissions=("iam:SimulatePrincipalPolicy", "iam:GetRole"),
)
