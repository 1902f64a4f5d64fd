"""Looks at the rules between endpoint and target: read once, evaluated by `access`, told as five checks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from eicctl.aws.network import read_network
from eicctl.aws.session import Session
from eicctl.aws.targets import Found
from eicctl.core.errors import TargetUnreachableError
from eicctl.core.model import Endpoint, Target
from eicctl.doctor import check as checks
from eicctl.doctor.check import Outcome, Status
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import Connection, Finding, instance_at, listed, of_verdicts, plain_address
from eicctl.reachability.evaluate import CLIENT_IP, evaluate
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS
from eicctl.reachability.remedies import command_line
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT

_PARTS: Mapping[str, tuple[str, ...]] = {
    checks.CLIENT_IP.key: (CLIENT_IP,),
    checks.EGRESS.key: (ENDPOINT_EGRESS,),
    checks.ROUTES.key: (ROUTE_OUT, ROUTE_BACK),
    checks.ACLS.key: (ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT, ENDPOINT_ACL_IN),
    checks.INGRESS.key: (TARGET_INGRESS,),
}
"""The findings of which each check is made."""

_CAUSES = {
    checks.CLIENT_IP.key: "client-IP preservation does not work with {label}",
    checks.EGRESS.key: "the endpoint's security groups do not let it out to {label}",
    checks.ROUTES.key: "no route leads from the endpoint to {label}, or back",
    checks.ACLS.key: "a network ACL stops the connection to {label}",
    checks.INGRESS.key: "the security groups of {label} do not let the endpoint in",
}


def look_at_network(
    session: Session, endpoint: Endpoint, target: Target, found: Found | None, client_address: str | None
) -> list[Finding]:
    """Read the network between an endpoint and a target, and return all findings.

    Args:
        session: Access to AWS.
        endpoint: The endpoint.
        target: The target.
        found: The instance or the place that the target is, if that is known.
        client_address: This machine's public address, where it is known.

    Raises:
        EicctlError: AWS cannot be reached, or does not accept the credentials.
    """
    instance = found.instance if found else None
    vpcs = {endpoint.vpc_id, found.place.vpc_id if found else endpoint.vpc_id}
    facts = read_network(
        session,
        vpc_ids=sorted(vpcs),
        interface_ids=endpoint.network_interface_ids,
        addresses=() if instance else (target.address,),
    )
    if instance:
        there = instance_at(instance, target.address)
    else:
        there = plain_address(facts, target.address, prefer_vpc=endpoint.vpc_id)
    return evaluate(facts, Connection(endpoint, there, target.remote_port, client_address))


def outcome_of(key: str, findings: Sequence[Finding], target: Target, session: Session) -> Outcome:
    """Return the outcome of one of the five checks.

    Args:
        key: The check's key.
        findings: All findings of the network.
        target: The target.
        session: Names region and profile in command lines.
    """
    parts = [finding for finding in findings if finding.check in _PARTS[key]]
    verdict = of_verdicts(finding.verdict for finding in parts)
    telling = [finding for finding in parts if finding.verdict == verdict]
    evidence = "; ".join(dict.fromkeys(finding.evidence for finding in telling))
    details = {"Findings": [{"Check": f.check, "Verdict": f.verdict, "Evidence": f.evidence} for f in parts]}
    if verdict == "ok":
        return Outcome(Status.OK, _shortened(key, evidence), details=details)
    change = next((finding.change for finding in telling if finding.change), None)
    mend = command_line(change, region=session.region, profile=session.profile) if change else ""
    if verdict == "unknown":
        return Outcome(Status.UNKNOWN, evidence, details=details)
    why = telling[0].evidence.partition("; there ")[0]
    return Outcome(
        Status.FAILED,
        evidence,
        mend,
        cause=f"{_CAUSES[key].format(label=target.label)}: {why}",
        exit_code=TargetUnreachableError.default_exit_code,
        change=change,
        details=details,
    )


def _shortened(key: str, evidence: str) -> str:
    """The evidence for four good crossings is long, and says the same of each."""
    acls = list(dict.fromkeys(re.findall(r"\bacl-[0-9a-z]+", evidence)))
    if key != checks.ACLS.key or not acls:
        return evidence
    return f"{listed(acls)} let{'' if len(acls) > 1 else 's'} it through, there and back"
