"""IAM's SimulatePrincipalPolicy: what a user's or a role's policies say of actions that are not done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eicctl.emulator.control import policy_language
from eicctl.emulator.control.backends import ApiError
from eicctl.emulator.control.policy_language import Source, Verdict, evaluate
from eicctl.emulator.control.sts import OWN_ARN
from eicctl.support.documents import parse_json

PAGE = 100
"""Results of a page where the caller does not say."""

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
    sources = policy_language.policies_of(principal)
    if sources is None and principal != OWN_ARN and not policy_language.exists(principal):
        raise ApiError("NoSuchEntity", f"The entity {principal} cannot be found.")
    more = [Source(f"PolicyInputList.{number}", "user", parse_json(text)) for number, text in enumerate(extra, 1)]
    if sources is None and not more:
        verdicts = [(action, resource, Verdict("allowed")) for action in actions for resource in resources]
    else:
        context = {entry["ContextKeyName"].lower(): _values(entry) for entry in entries}
        everything = [*(sources or []), *more]
        verdicts = [
            (action, resource, evaluate(everything, action, resource, context))
            for action in actions
            for resource in resources
        ]
    return [_row(*one) for one in verdicts]


def _values(entry: Mapping[str, Any]) -> list[str]:
    kind = str(entry.get("ContextKeyType", "")).removesuffix("List")
    if kind not in _TYPES:
        raise ApiError("InvalidInput", f"Invalid context key type: {kind}")
    values = [str(value) for value in entry.get("ContextKeyValues") or []]
    if kind == "numeric" and not all(value.lstrip("-").replace(".", "", 1).isdigit() for value in values):
        raise ApiError("InvalidInput", f"Invalid numeric value for {entry['ContextKeyName']}.")
    return values


def _row(action: str, resource: str, verdict: Verdict) -> dict[str, Any]:
    # Where a statement is in its document is not known here: moto's documents are read, and not where lines end.
    matched = [{"SourcePolicyId": source.name, "SourcePolicyType": source.kind} for source in verdict.matched]
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": verdict.decision,
        "MatchedStatements": matched,
        "MissingContextValues": list(verdict.missing),
    }
