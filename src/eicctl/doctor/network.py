"""Checks of the network rules between endpoint and target: findings of `reachability` as one outcome."""

from __future__ import annotations

from collections.abc import Callable

from eicctl.core.errors import EicctlError, TargetUnreachableError
from eicctl.doctor.check import Check, Outcome, Segment, Status, not_checked
from eicctl.doctor.context import Context, required
from eicctl.reachability.connection import of_verdicts
from eicctl.reachability.remedies import command_line


def network_check(
    key: str,
    title: str,
    order: int,
    *findings: str,
    step: str,
    cause: str,
    inspects: str,
    permissions: tuple[str, ...],
    resources: Callable[[Context], tuple[str, ...]] = lambda _: (),
) -> Check:
    """Return a check that evaluates network rules (`Check` has the other arguments).

    Args:
        key: Its name for programs.
        title: Its name for people.
        order: Its position in the list.
        findings: The IDs of the findings that it consists of.
        step: Its name in the drawing.
        cause: What a failure means; `{target}` stands for the target.
        inspects: What it looks at.
        permissions: The IAM actions that it needs.
        resources: Returns what decides it, for the drawing.
    """
    return Check(
        key=key,
        title=title,
        order=order,
        run=lambda context: _outcome(context, findings, cause, resources(context)),
        needs=("target", "endpoint"),
        segment=Segment.TO_TARGET,
        step=step,
        predicts_tunnel=True,
        inspects=inspects,
        permissions=permissions,
    )


def _outcome(context: Context, findings: tuple[str, ...], cause: str, resources: tuple[str, ...]) -> Outcome:
    try:
        evaluated = context.findings()
    except EicctlError as error:
        return not_checked(error)
    if not evaluated:
        return Outcome(Status.UNKNOWN, "the endpoint could not be looked up, so its network is unknown")
    parts = [finding for finding in evaluated if finding.check in findings]
    verdict = of_verdicts(finding.verdict for finding in parts)
    decisive = [finding for finding in parts if finding.verdict == verdict]
    message = "; ".join(dict.fromkeys(finding.evidence for finding in decisive))
    details = {"Findings": [{"Check": f.check, "Verdict": f.verdict, "Message": f.evidence} for f in parts]}
    if verdict != "failed":
        return Outcome(Status(verdict), message, details=details, resources=resources)
    change = next((finding.change for finding in decisive if finding.change), None)
    reason = decisive[0].evidence.partition(" (existing: ")[0]
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
