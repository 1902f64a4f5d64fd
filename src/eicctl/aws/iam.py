"""IAM: what its simulator says that a caller may do, and the policies of a user or a role.

These are its own policies, those attached to it, and those of a user's groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from eicctl.aws.errors import translated
from eicctl.aws.identity import caller_identity
from eicctl.aws.session import Session
from eicctl.core.errors import NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
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
    with translated("simulate the policies"):
        answer = session.client("iam").simulate_principal_policy(
            PolicySourceArn=principal, ActionNames=[action], ResourceArns=[resource], ContextEntries=entries
        )
    row = answer["EvaluationResults"][0]
    statements = tuple(statement.get("SourcePolicyId", "") for statement in row.get("MatchedStatements", []))
    return Decision(action, resource, row["EvalDecision"], statements, tuple(row.get("MissingContextValues", [])))


Policy = tuple[str, dict[str, object]]
"""A name and a document."""


def identity_policies(session: Session, owner: str) -> list[Policy]:
    """Return the policies of a user or a role. Permissions boundaries and the organization's policies are not read.

    Args:
        session: Access to AWS.
        owner: The ARN of the user or role.

    Raises:
        NotFoundError: IAM does not know it, or it belongs to another account than the credentials.
        DeniedError: The caller may not read them.
    """
    account, resource = owner.split(":", 5)[4:]
    kind, _, path = resource.partition("/")
    name = path.rpartition("/")[2]
    if account != (own := caller_identity(session).account):
        raise NotFoundError(f"The {kind} {name} belongs to account {account}, the credentials to {own}")
    client = session.client("iam")
    with translated(f"read the policies of the {kind} {name}"):
        return list(_of_user(client, name) if kind == "user" else _of_role(client, name))


def _of_user(client: IAMClient, name: str) -> Iterator[Policy]:
    for page in client.get_paginator("list_user_policies").paginate(UserName=name):
        for one in page["PolicyNames"]:
            yield one, _document(client.get_user_policy(UserName=name, PolicyName=one)["PolicyDocument"])
    for attached in client.get_paginator("list_attached_user_policies").paginate(UserName=name):
        yield from _attached(client, attached["AttachedPolicies"])
    for groups in client.get_paginator("list_groups_for_user").paginate(UserName=name):
        for group in groups["Groups"]:
            yield from _of_group(client, group["GroupName"])


def _of_group(client: IAMClient, name: str) -> Iterator[Policy]:
    for page in client.get_paginator("list_group_policies").paginate(GroupName=name):
        for one in page["PolicyNames"]:
            document = client.get_group_policy(GroupName=name, PolicyName=one)["PolicyDocument"]
            yield f"{name}/{one}", _document(document)
    for attached in client.get_paginator("list_attached_group_policies").paginate(GroupName=name):
        for attached_name, found in _attached(client, attached["AttachedPolicies"]):
            yield f"{name}/{attached_name}", found


def _of_role(client: IAMClient, name: str) -> Iterator[Policy]:
    for page in client.get_paginator("list_role_policies").paginate(RoleName=name):
        for one in page["PolicyNames"]:
            yield one, _document(client.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"])
    for attached in client.get_paginator("list_attached_role_policies").paginate(RoleName=name):
        yield from _attached(client, attached["AttachedPolicies"])


def _attached(client: IAMClient, policies: Any) -> Iterator[Policy]:
    for one in policies:
        version = client.get_policy(PolicyArn=one["PolicyArn"])["Policy"]["DefaultVersionId"]
        found = client.get_policy_version(PolicyArn=one["PolicyArn"], VersionId=version)["PolicyVersion"]
        yield one["PolicyName"], _document(found["Document"])


def _document(document: object) -> dict[str, object]:
    """A document; botocore has decoded its JSON."""
    return document if isinstance(document, dict) else {}
