"""Whether the caller's policies allow the tunnel, and pushing a key: what IAM's simulator says."""

from __future__ import annotations

import re

from eicctl.aws.iam import OPEN_TUNNEL, SEND_KEY
from eicctl.core.errors import DeniedError, EicctlError
from eicctl.core.model import SSH_PORT, Target
from eicctl.doctor.check import Check, Outcome, Segment, Status, for_ssh_login, unknown_outcome
from eicctl.doctor.context import NO_INSTANCE, Context, required
from eicctl.policy.check import Permission
from eicctl.support import pins


def permission_outcome(context: Context, action: str) -> Outcome:
    """Return whether the caller may do an action that a connection to the target needs."""
    try:
        answers = context.answers()
    except EicctlError as error:
        return unknown_outcome(error)
    if not answers:
        return Outcome(Status.UNKNOWN, "the endpoint could not be looked up, so its ARN is unknown")
    caller, target = required(context.identity).arn, required(context.target)
    found = next((answer for answer in answers if answer.action == action), None)
    if not found:
        return Outcome(Status.UNKNOWN, NO_INSTANCE)
    details = {
        "Principal": caller,
        "Answers": [
            {"Action": answer.action, "Resource": answer.resource, "Decision": answer.status, "Reason": answer.reason}
            for answer in answers
        ],
    }
    if found.status == "allowed":
        return Outcome(Status.OK, f"{action} is allowed {found.reason}".rstrip(), details=details)
    if found.status == "unknown":
        return Outcome(Status.UNKNOWN, f"whether {action} is allowed is unknown: {found.reason}", details=details)
    return Outcome(
        Status.FAILED,
        f"{action} on {found.resource} is denied: {found.reason}",
        _remediation(found, target),
        cause=f"the policies of {caller} do not allow {action} on {found.resource.rpartition('/')[2]}: {found.reason}",
        exit_code=DeniedError.default_exit_code,
        details=details,
    )


def _remediation(denied: Permission, target: Target) -> str:
    if shorter := re.search(r"--max-tunnel-duration \d+", denied.reason):
        return shorter[0]
    user = ("--os-user", "NAME") if target.remote_port == SSH_PORT and target.platform != "windows" else ()
    options = ("--endpoint", target.endpoint_id, "--port", target.remote_port, *user)
    return pins.command("eicctl", "policy", "connect", *options)


TUNNEL = Check(
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

KEY = Check(
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
