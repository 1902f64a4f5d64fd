"""What the caller's policies allow, as IAM's simulator says it without anything being done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from eicctl.aws.errors import translated
from eicctl.aws.session import Session
from eicctl.core.errors import NotFoundError
from eicctl.core.model import Endpoint, Target

OPEN_TUNNEL = "ec2-instance-connect:OpenTunnel"
SEND_KEY = "ec2-instance-connect:SendSSHPublicKey"

Context = Mapping[str, tuple[str, str]]
"""Condition keys, each with its type (`string`, `numeric`, `ip`) and its value."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the simulator says of one action.

    Attributes:
        action: The action.
        resource: What it is done to.
        decision: `allowed`, `implicitDeny` (no statement allows it) or `explicitDeny`.
        statements: The policies whose statements decide, by name.
        missing: Condition keys that the policies ask for, and that were not given.
    """

    action: str
    resource: str
    decision: str
    statements: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the caller may."""
        return self.decision == "allowed"


def principal_of(session: Session, arn: str) -> str:
    """Return the ARN of the user or role whose policies count for a caller.

    Raises:
        NotFoundError: The caller is the root user or a federated one, whom the simulator does not know.
        DeniedError: The caller may not look at its role.
    """
    role = re.fullmatch(r"arn:[\w-]+:sts::\d+:assumed-role/([^/]+)/.+", arn)
    if role:
        # The ARN of a session has the role's name only, and a role's own ARN has its path too.
        with translated(f"look up the role {role[1]}"):
            return str(session.client("iam").get_role(RoleName=role[1])["Role"]["Arn"])
    if re.fullmatch(r"arn:[\w-]+:iam::\d+:user/.+", arn):
        return arn
    raise NotFoundError(f"IAM's simulator knows users and roles, and not {arn}")


def simulate(session: Session, principal: str, action: str, resource: str, context: Context) -> Decision:
    """Ask IAM's simulator (SimulatePrincipalPolicy) for one action.

    Raises:
        DeniedError: The caller may not ask.
    """
    entries = [
        {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": [value]}
        for key, (kind, value) in context.items()
    ]
    with translated("ask IAM what the policies allow"):
        answer = session.client("iam").simulate_principal_policy(
            PolicySourceArn=principal, ActionNames=[action], ResourceArns=[resource], ContextEntries=entries
        )
    row = answer["EvaluationResults"][0]
    statements = tuple(statement.get("SourcePolicyId", "") for statement in row.get("MatchedStatements", []))
    return Decision(action, resource, row["EvalDecision"], statements, tuple(row.get("MissingContextValues", [])))


def tunnel_context(endpoint: Endpoint, target: Target, duration: int | None) -> Context:
    """Return the condition keys of OpenTunnel (docs/explanation/protocol.md#iam); the duration's may be absent."""
    context = {
        "ec2-instance-connect:remotePort": ("numeric", str(target.remote_port)),
        "ec2-instance-connect:privateIpAddress": ("ip", target.address),
        **{f"aws:ResourceTag/{key}": ("string", value) for key, value in endpoint.tags.items()},
    }
    if duration is not None:
        context["ec2-instance-connect:maxTunnelDuration"] = ("numeric", str(duration))
    return context
