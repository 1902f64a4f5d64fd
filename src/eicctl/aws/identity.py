"""The caller: who it is, until when, what its policies allow, and whether its clock agrees with AWS's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from eicctl.aws.errors import translated
from eicctl.aws.session import Session
from eicctl.core.errors import NotFoundError
from eicctl.core.model import Endpoint, Target
from eicctl.support.clock import seconds_ahead

if TYPE_CHECKING:
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef


OPEN_TUNNEL = "ec2-instance-connect:OpenTunnel"
SEND_KEY = "ec2-instance-connect:SendSSHPublicKey"

Context = Mapping[str, tuple[Literal["string", "numeric", "ip"], str]]
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
    raise NotFoundError(f"IAM's policy simulator supports only users and roles, not {arn}")


def simulate(session: Session, principal: str, action: str, resource: str, context: Context) -> Decision:
    """Ask IAM's simulator (SimulatePrincipalPolicy) for one action.

    Raises:
        DeniedError: The caller may not ask.
    """
    entries: list[ContextEntryTypeDef] = [
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
    context: dict[str, tuple[Literal["string", "numeric", "ip"], str]] = {
        "ec2-instance-connect:remotePort": ("numeric", str(target.remote_port)),
        "ec2-instance-connect:privateIpAddress": ("ip", target.address),
        **{f"aws:ResourceTag/{key}": ("string", value) for key, value in endpoint.tags.items()},
    }
    if duration is not None:
        context["ec2-instance-connect:maxTunnelDuration"] = ("numeric", str(duration))
    return context


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls AWS.

    `expires` is None for long-lived keys, or where the source of the credentials does not report it. `source` is what
    botocore calls the source: `env`, `shared-credentials-file`, `sso`, `assume-role`, …
    """

    arn: str
    account: str
    access_key_id: str
    source: str
    expires: datetime | None = None

    @property
    def lasts(self) -> float | None:
        """Seconds until the credentials expire, or None."""
        return (self.expires - datetime.now(UTC)).total_seconds() if self.expires else None


def caller_identity(session: Session, region: str | None = None) -> Identity:
    """Ask STS whose the credentials are (GetCallerIdentity, which no policy can forbid).

    Args:
        session: Access to AWS.
        region: Whose STS to ask: it answers where that of the session's region is out of reach; None for the session's.

    Raises:
        CredentialsError: None were found, or AWS rejects them.
        NetworkError: AWS does not respond.
    """
    keys = session.credentials()
    with translated("ask AWS whose the credentials are"):
        answer = session.client("sts", region).get_caller_identity()
    return Identity(answer["Arn"], answer["Account"], keys.access_key_id, session.source, keys.expires)


def clock_offset(session: Session) -> float | None:
    """Return by how many seconds this machine's clock is ahead of AWS's, to a second; None if AWS reports no time.

    The request is not signed, so that it is answered whatever the credentials are; the answer is a refusal with a date.

    Raises:
        NetworkError: AWS does not respond.
    """
    from botocore.exceptions import ClientError

    client = session.unsigned_client("sts")
    response: Mapping[str, Any]
    with translated("ask AWS for the time"):
        try:
            response = client.get_caller_identity()
        except ClientError as refused:
            response = refused.response
    ahead = seconds_ahead(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
    return None if ahead is None else ahead - 0.5  # the header has whole seconds: on average half a one has passed
