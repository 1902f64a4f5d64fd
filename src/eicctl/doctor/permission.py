"""Looks at what IAM lets the caller do, as `policy.check` has asked it: open the tunnel, and push a key."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eicctl.core.errors import DeniedError
from eicctl.core.model import SSH_PORT, Target
from eicctl.doctor.check import Outcome, Status
from eicctl.policy.check import Check as Answer
from eicctl.support import pins


def permission_outcome(action: str, answers: Sequence[Answer], *, caller: str, target: Target) -> Outcome:
    """Return the outcome for one action.

    Args:
        action: The action.
        answers: What IAM says of all actions that a connection needs.
        caller: The caller's ARN.
        target: The target.
    """
    found = next((answer for answer in answers if answer.action == action), None)
    if not found:
        return Outcome(Status.UNKNOWN, "the target is no known instance: no key can be pushed to it")
    details = {
        "Principal": caller,
        "Answers": [
            {"Action": answer.action, "Resource": answer.resource, "Decision": answer.status, "Why": answer.why}
            for answer in answers
        ],
    }
    if found.status == "allowed":
        return Outcome(Status.OK, f"{action} is allowed {found.why}".rstrip(), details=details)
    if found.status == "unknown":
        return Outcome(Status.UNKNOWN, f"whether {action} is allowed is not known: {found.why}", details=details)
    return Outcome(
        Status.FAILED,
        f"{action} on {found.resource} is denied: {found.why}",
        _mend(found, target),
        cause=f"the policies of {caller} do not allow {action} on {found.resource.rpartition('/')[2]}: {found.why}",
        exit_code=DeniedError.default_exit_code,
        details=details,
    )


def _mend(denied: Answer, target: Target) -> str:
    if shorter := re.search(r"--max-tunnel-duration \d+", denied.why):
        return shorter[0]
    user = ("--os-user", "NAME") if target.remote_port == SSH_PORT and target.platform != "windows" else ()
    options = ("--endpoint", target.endpoint_id, "--port", target.remote_port, *user)
    return pins.command("eicctl", "policy", "connect", *options)
