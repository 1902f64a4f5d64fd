"""The policies of a caller: a user's, those of its groups, or a role's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eicctl.emulator.control.backends import LOCK, ApiError, iam
from eicctl.emulator.control.policy_language import Context, Source, trusts
from eicctl.support.documents import parse_json


def policies_of(arn: str) -> list[Source] | None:
    """Return the policies of a user, a role or a session of a role; None for who is not restricted.

    Not restricted are the emulator's own user, roles that nobody has made, and whoever has no policy at all.
    """
    kind, _, path = arn.rpartition(":")[2].partition("/")
    with LOCK:
        if kind == "assumed-role":
            found = _role(path.split("/")[0])
        elif kind == "role":
            found = _role(path.rpartition("/")[2])
        elif kind == "user":
            found = _user(path.rpartition("/")[2])
        else:
            found = []
        return found or None


def exists(arn: str) -> bool:
    """Whether the ARN is that of a user or a role of IAM."""
    with LOCK:
        return any(one.arn == arn for one in (*iam().users.values(), *iam().roles.values()))


def check_trust(role_arn: str, caller_arn: str, context: Context) -> None:
    """Refuse that a caller assumes a role whose trust policy does not let it. A role that nobody has made trusts all.

    Raises:
        ApiError: It does not.
    """
    with LOCK:
        role = next((role for role in iam().roles.values() if role.arn == role_arn), None)
    document = _read(role.assume_role_policy_document) if role else {}
    if document.get("Statement") and not trusts(document, "sts:AssumeRole", caller_arn, context):
        raise ApiError(
            "AccessDenied", f"User: {caller_arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        )


def _user(name: str) -> list[Source]:
    user = iam().users.get(name)
    if user is None:
        return []
    groups = [group for group in iam().groups.values() if user in group.users]
    return [*_of(user, "user"), *(source for group in groups for source in _of(group, "group"))]


def _role(name: str) -> list[Source]:
    role = next((role for role in iam().roles.values() if role.name == name), None)
    return _of(role, "role") if role else []


def _of(holder: Any, kind: str) -> list[Source]:
    inline = [Source(f"{kind}_{holder.name}_{name}", kind, _read(text)) for name, text in holder.policies.items()]
    return [*inline, *_managed(holder.managed_policies.values())]


def _managed(policies: Iterable[Any]) -> list[Source]:
    found = []
    for policy in policies:
        document = next(version.document for version in policy.versions if version.is_default)
        kind = "aws-managed" if ":iam::aws:" in policy.arn else "user-managed"
        found.append(Source(policy.name, kind, _read(document)))
    return found


def _read(document: str) -> dict[str, Any]:
    found: dict[str, Any] = parse_json(document)
    return found
