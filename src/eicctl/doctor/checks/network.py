"""Whether client IP preservation, security groups, routes and network ACLs allow the connection.

Each check has some of the findings of `reachability` as one outcome.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from eicctl.core.errors import EicctlError, TargetUnreachableError
from eicctl.doctor.check import Check, Outcome, Segment, Status, unknown_outcome
from eicctl.doctor.context import Context, required
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import listed, of_verdicts
from eicctl.reachability.evaluate import CLIENT_IP
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS
from eicctl.reachability.remedies import change_command
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT


def _network_check(
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
        return unknown_outcome(error)
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
        change_command(change, region=session.region, profile=session.profile) if change else "",
        cause=f"{cause.format(target=required(context.target).label)}: {reason}",
        exit_code=TargetUnreachableError.default_exit_code,
        change=change,
        details=details,
        resources=resources,
    )


def _subnets(context: Context) -> tuple[str, ...]:
    ends = (context.endpoint, context.instance)
    return tuple(dict.fromkeys(end.subnet_id for end in ends if end and end.subnet_id))


CLIENT = _network_check(
    "client-ip",
    "Client IP preservation",
    90,
    CLIENT_IP,
    step="client IP preservation",
    cause="client IP preservation does not support {target}",
    inspects="whether it supports this target, if it is on",
    permissions=("ec2:DescribeVpcs", "ec2:DescribeSubnets"),
)

EGRESS = _network_check(
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

ROUTES = _network_check(
    "routes",
    "Routes",
    110,
    ROUTE_OUT,
    ROUTE_BACK,
    step="routes",
    cause="no route leads from the endpoint to {target}, or back",
    inspects="from subnet to subnet and back",
    permissions=("ec2:DescribeRouteTables",),
    resources=_subnets,
)

_FOUR_ACLS = _network_check(
    "network-acls",
    "Network ACLs",
    120,
    *(ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT, ENDPOINT_ACL_IN),
    step="network ACLs",
    cause="a network ACL blocks the connection to {target}",
    inspects="both subnets, both directions, with the ephemeral ports",
    permissions=("ec2:DescribeNetworkAcls",),
)


def _run_acls(context: Context) -> Outcome:
    """Evaluate the four crossings of a subnet's edge; if all are allowed, one short message says so."""
    outcome = _FOUR_ACLS.run(context)
    acls = tuple(dict.fromkeys(re.findall(r"\bacl-[0-9a-z]+", outcome.message)))
    if outcome.status is Status.OK and acls:
        return replace(outcome, message=f"{listed(acls)} allow{'' if acls[1:] else 's'} both directions")
    return outcome


ACLS = replace(_FOUR_ACLS, run=_run_acls)

INGRESS = _network_check(
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
