"""The outcome of a check of permissions: what IAM's simulator answers about one of the actions of a connection."""

from __future__ import annotations

import re

from eicctl.core.errors import DeniedError, EicctlError
from eicctl.core.model import SSH_PORT, Target
from eicctl.doctor.check import Outcome, Status, not_checked
from eicctl.doctor.context import Context, required
from eicctl.policy.check import Check as Answer
from eicctl.support import pins

NO_INSTANCE = "the target is not a known EC2 instance, so no key can be pushed"


def permission_outcome(context: Context, action: str) -> Outcome:
    """Return whether the caller may do an action that a connection to the target needs."""
    try:
        answers = context.answers()
    except EicctlError as error:
        return not_checked(error)
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


def _remediation(denied: Answer, target: Target) -> str:
    if shorter := re.search(r"--max-tunnel-duration \d+", denied.reason):
        return shorter[0]
    user = ("--os-user", "NAME") if target.remote_port == SSH_PORT and target.platform != "windows" else ()
    options = ("--endpoint", target.endpoint_id, "--port", target.remote_port, *user)
    return pins.command("eicctl", "policy", "connect", *options)
