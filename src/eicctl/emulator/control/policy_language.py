"""IAM's policy language: the evaluation of a caller's policies, and SimulatePrincipalPolicy.

moto's own enforcement ignores conditions, and no maintained Python library evaluates them for one request, so this is a
small evaluator of identity-based policies. It reads `Version`, `Statement`, `Effect`, `Action`, `NotAction`,
`Resource`, `NotResource` and `Condition`.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from eicctl.emulator.control.backends import LOCK, ApiError, iam
from eicctl.emulator.control.credentials import OWN_ARN
from eicctl.support.bare import parse_json

PAGE = 100
"""Results of a page by default."""

_TYPES = {"string", "numeric", "boolean", "ip", "binary", "date"}


def simulate(
    principal: str,
    *,
    actions: Sequence[str],
    resources: Sequence[str],
    entries: Sequence[Mapping[str, Any]],
    extra: Sequence[str],
) -> list[dict[str, Any]]:
    """Return a row of EvaluationResults for each action on each resource.

    Args:
        principal: The ARN of the user or role.
        actions: Actions, as `service:Action`.
        resources: ARNs, or `*`.
        entries: ContextEntries.
        extra: More policy documents, as JSON, to count with the principal's own.
    """
    if ":assumed-role/" in principal or not principal.startswith("arn:aws:iam::"):
        raise ApiError("InvalidInput", f"Invalid Entity Arn: {principal} does not clearly define entity type and name.")
    sources = policies_of(principal)
    if sources is None and principal != OWN_ARN and not exists(principal):
        raise ApiError("NoSuchEntity", f"The entity {principal} cannot be found.")
    context = {entry["ContextKeyName"].lower(): _values(entry) for entry in entries}
    more = [Source(f"PolicyInputList.{number}", "user", parse_json(text)) for number, text in enumerate(extra, 1)]
    everything = [*(sources or []), *more]
    return [
        _row(action, resource, evaluate(everything, action, resource, context) if everything else Verdict("allowed"))
        for action in actions
        for resource in resources
    ]


def _values(entry: Mapping[str, Any]) -> list[str]:
    kind = str(entry.get("ContextKeyType", "")).removesuffix("List")
    if kind not in _TYPES:
        raise ApiError("InvalidInput", f"Invalid context key type: {kind}")
    values = [str(value) for value in entry.get("ContextKeyValues") or []]
    if kind == "numeric" and not all(value.lstrip("-").replace(".", "", 1).isdigit() for value in values):
        raise ApiError("InvalidInput", f"Invalid numeric value for {entry['ContextKeyName']}.")
    return values


def _row(action: str, resource: str, verdict: Verdict) -> dict[str, Any]:
    # Without positions: parsed documents have none.
    matched = [{"SourcePolicyId": source.name, "SourcePolicyType": source.kind} for source in verdict.matched]
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": verdict.decision,
        "MatchedStatements": matched,
        "MissingContextValues": list(verdict.missing),
    }


def policies_of(arn: str) -> list[Source] | None:
    """Return the policies of a user, a role or a session of a role; None for an unrestricted one.

    Unrestricted are the emulator's own user, roles that do not exist, and principals without any policy.
    """
    kind, _, path = arn.rpartition(":")[2].partition("/")
    holders: list[tuple[str, Any]] = []
    with LOCK:
        own = iam(_account(arn))
        if kind == "user" and (user := own.users.get(path.rpartition("/")[2])):
            holders = [("user", user), *(("group", group) for group in own.groups.values() if user in group.users)]
        elif kind in ("role", "assumed-role"):
            name = path.rpartition("/")[2] if kind == "role" else path.partition("/")[0]
            holders = [("role", role) for role in own.roles.values() if role.name == name]
        return [source for kind, holder in holders for source in _sources(holder, kind)] or None


def _sources(holder: Any, kind: str) -> Iterator[Source]:
    """The inline and the managed policies of a user, a group or a role."""
    for name, text in holder.policies.items():
        yield Source(f"{kind}_{holder.name}_{name}", kind, parse_json(text))
    for policy in holder.managed_policies.values():
        document = next(version.document for version in policy.versions if version.is_default)
        origin = "aws-managed" if ":iam::aws:" in policy.arn else "user-managed"
        yield Source(policy.name, origin, parse_json(document))


def exists(arn: str) -> bool:
    """Whether the ARN is that of a user or a role of IAM."""
    with LOCK:
        own = iam(_account(arn))
        return any(one.arn == arn for one in (*own.users.values(), *own.roles.values()))


def _account(arn: str) -> str:
    return arn.split(":")[4]


def trusts(role_arn: str, caller_arn: str, context: Context, *, strict: bool) -> bool:
    """Whether a role's trust policy allows a caller to assume it.

    Args:
        role_arn: The role.
        caller_arn: The caller.
        context: The condition keys.
        strict: Whether a role that does not exist trusts nobody, as in AWS; otherwise it trusts everyone.
    """
    with LOCK:
        role = next((role for role in iam(_account(role_arn)).roles.values() if role.arn == role_arn), None)
    if role is None:
        return not strict
    statements = _listed(parse_json(role.assume_role_policy_document).get("Statement", []))
    own = [{**each, "Resource": "*"} for each in statements if _is_principal(each.get("Principal", {}), caller_arn)]
    trust = Source("", "role", {"Statement": own})
    return not statements or evaluate([trust], "sts:AssumeRole", "*", context).allowed


Context = Mapping[str, Sequence[str]]
"""Values of condition keys; the keys in lower case."""


@dataclass(frozen=True, slots=True)
class Source:
    """A policy document and where it is from: `kind` is one of SimulatePrincipalPolicy's SourcePolicyType."""

    name: str
    kind: str
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`decision` is `allowed`, `explicitDeny` or `implicitDeny`; `missing` are condition keys without a value."""

    decision: str
    matched: tuple[Source, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the action is allowed."""
        return self.decision == "allowed"


def evaluate(sources: Iterable[Source], action: str, resource: str | None, context: Context) -> Verdict:
    """Evaluate the policies for one action on one resource.

    Args:
        sources: All policies of the principal.
        action: `service:Action`.
        resource: Its ARN, `*` for an action without one, or None if the caller does not know it: then every
            Allow's resource counts as the right one, and a Deny's only if it is `*`.
        context: The condition keys.
    """
    allows: list[Source] = []
    denies: list[Source] = []
    missing: dict[str, None] = {}
    for source in sources:
        for statement in _listed(source.document.get("Statement", [])):
            deny = statement.get("Effect") == "Deny"
            if not _concerns(statement, action, resource, deny=deny, context=context):
                continue
            holds, absent = _conditions_hold(statement.get("Condition", {}), context)
            missing |= dict.fromkeys(absent)
            if holds:
                (denies if deny else allows).append(source)
    if denies:
        return Verdict("explicitDeny", tuple(denies), tuple(missing))
    if allows:
        return Verdict("allowed", tuple(allows), tuple(missing))
    return Verdict("implicitDeny", (), tuple(missing))


def _is_principal(principal: Any, caller: str) -> bool:
    """Whether a statement's Principal is a caller: by its ARN, as a session of a role, or as one of its account."""
    account = caller.split(":")[4]
    role = re.sub(r":sts:(:\d+):assumed-role/([^/]+)/.*", r":iam:\1:role/\2", caller)
    meant = {"*", account, f"arn:aws:iam::{account}:root", caller, role}
    return bool(meant & set(map(str, _listed(principal if principal == "*" else principal.get("AWS", [])))))


def _concerns(statement: Mapping[str, Any], action: str, resource: str | None, *, deny: bool, context: Context) -> bool:
    names = [name.lower() for name in _listed(statement.get("NotAction", statement.get("Action", [])))]
    if any(_like(action.lower(), name) for name in names) == ("NotAction" in statement):
        return False
    patterns = [_filled(pattern, context) for pattern in _listed(statement.get("Resource", []))]
    if resource is None:
        return not deny or "*" in patterns
    if "NotResource" in statement:
        return not any(_like(resource, _filled(one, context)) for one in _listed(statement["NotResource"]))
    return any(_like(resource, pattern) for pattern in patterns)


def _conditions_hold(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> tuple[bool, list[str]]:
    """Whether all conditions hold, and the keys among them that have no value."""
    holds = True
    absent: list[str] = []
    for operator, keys in conditions.items():
        for key, wanted in keys.items():
            values = context.get(key.lower())
            if values is None and operator != "Null":
                absent.append(key)
            expected = [_filled(str(one), context) for one in _listed(_words(wanted))]
            holds = _holds(operator, values, expected) and holds
    return holds, absent


def _holds(operator: str, values: Sequence[str] | None, expected: Sequence[str]) -> bool:
    quantifier, _, name = operator.rpartition(":")
    if name == "Null":
        return any((values is None) == (one.lower() == "true") for one in expected)
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = "Not" in name
    test = _TESTS.get(name.replace("Not", "", 1))
    if test is None:
        return False
    if not values:
        return if_exists or negated or quantifier == "ForAllValues"

    def one_holds(value: str) -> bool:
        return any(_safely(test, value, one) for one in expected) != negated

    return (all if quantifier == "ForAllValues" else any)(one_holds(value) for value in values)


def _safely(test: Callable[[str, str], bool], value: str, expected: str) -> bool:
    try:
        return test(value, expected)
    except ValueError:
        return False


def _like(value: str, pattern: str) -> bool:
    """Match with IAM's wildcards: `*` and `?`, and no others."""
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


def _in_range(value: str, expected: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(expected, strict=False)


def _moment(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, one: value == one,
    "StringEqualsIgnoreCase": lambda value, one: value.lower() == one.lower(),
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "NumericEquals": lambda value, one: float(value) == float(one),
    "NumericLessThan": lambda value, one: float(value) < float(one),
    "NumericLessThanEquals": lambda value, one: float(value) <= float(one),
    "NumericGreaterThan": lambda value, one: float(value) > float(one),
    "NumericGreaterThanEquals": lambda value, one: float(value) >= float(one),
    "DateEquals": lambda value, one: _moment(value) == _moment(one),
    "DateLessThan": lambda value, one: _moment(value) < _moment(one),
    "DateLessThanEquals": lambda value, one: _moment(value) <= _moment(one),
    "DateGreaterThan": lambda value, one: _moment(value) > _moment(one),
    "DateGreaterThanEquals": lambda value, one: _moment(value) >= _moment(one),
    "Bool": lambda value, one: value.lower() == one.lower(),
    "BinaryEquals": lambda value, one: value == one,
    "IpAddress": _in_range,
}
"""Operators without `Not`; a negated one holds where none of its values does."""


def _filled(text: str, context: Context) -> str:
    """Put in policy variables such as `${aws:username}`; one without a value matches nothing."""
    return re.sub(r"\$\{([^}]+)\}", lambda found: (context.get(found[1].lower()) or ["\0"])[0], text)


def _words(value: Any) -> Any:
    """JSON's true and false as IAM writes them."""
    return str(value).lower() if isinstance(value, bool) else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
