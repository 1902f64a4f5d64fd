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
        found = list(_policies(client, kind, name))
        groups = client.get_paginator("list_groups_for_user").paginate(UserName=name) if kind == "user" else ()
        for group in (group["GroupName"] for page in groups for group in page["Groups"]):
            found += [(f"{group}/{policy}", document) for policy, document in _policies(client, "group", group)]
        return found


_OPERATIONS = {
    "user": ("UserName", "list_user_policies", "get_user_policy", "list_attached_user_policies"),
    "group": ("GroupName", "list_group_policies", "get_group_policy", "list_attached_group_policies"),
    "role": ("RoleName", "list_role_policies", "get_role_policy", "list_attached_role_policies"),
}


def _policies(client: Any, kind: str, name: str) -> Iterator[Policy]:
    """The policies of a user, a group or a role itself: inline ones, then attached ones."""
    parameter, list_inline, get_inline, list_attached = _OPERATIONS[kind]
    holder = {parameter: name}
    for page in client.get_paginator(list_inline).paginate(**holder):
        for policy in page["PolicyNames"]:
            answer = getattr(client, get_inline)(**holder, PolicyName=policy)
            yield policy, _document(answer["PolicyDocument"])
    for page in client.get_paginator(list_attached).paginate(**holder):
        for attached in page["AttachedPolicies"]:
            arn = attached["PolicyArn"]
            version = client.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            answer = client.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
            yield attached["PolicyName"], _document(answer["Document"])


def _document(document: object) -> dict[str, object]:
    """A document; botocore has decoded its JSON."""
    return document if isinstance(document, dict) else {}
