"""The outcome of a check of network rules: the findings of `access` that it is about, as one."""

from __future__ import annotations

from eicctl.core.errors import EicctlError, TargetUnreachableError
from eicctl.doctor.check import Outcome, Status, not_checked
from eicctl.doctor.context import Context, required
from eicctl.reachability.connection import of_verdicts
from eicctl.reachability.remedies import command_line


def rules_outcome(context: Context, *findings: str, cause: str, resources: tuple[str, ...] = ()) -> Outcome:
    """Return the outcome of one check of the network between endpoint and target.

    Args:
        context: What is known.
        findings: The IDs of the findings that the check is made of.
        cause: What a failure means; `{target}` stands for the target.
        resources: What decides it.
    """
    try:
        evaluated = context.findings()
    except EicctlError as error:
        return not_checked(error)
    if not evaluated:
        return Outcome(Status.UNKNOWN, "the endpoint could not be looked up, so its network is unknown")
    parts = [finding for finding in evaluated if finding.check in findings]
    verdict = of_verdicts(finding.verdict for finding in parts)
    telling = [finding for finding in parts if finding.verdict == verdict]
    message = "; ".join(dict.fromkeys(finding.evidence for finding in telling))
    details = {"Findings": [{"Check": f.check, "Verdict": f.verdict, "Message": f.evidence} for f in parts]}
    if verdict != "failed":
        return Outcome(Status(verdict), message, details=details, resources=resources)
    change = next((finding.change for finding in telling if finding.change), None)
    reason = telling[0].evidence.partition(" (existing: ")[0]
    session = context.session
    return Outcome(
        Status.FAILED,
        message,
        command_line(change, region=session.region, profile=session.profile) if change else "",
        cause=f"{cause.format(target=required(context.target).label)}: {reason}",
        exit_code=TargetUnreachableError.default_exit_code,
        change=change,
        details=details,
        resources=resources,
    )
