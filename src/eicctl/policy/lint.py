"""Find errors, missing permissions and overly broad ones in a policy for EICE (docs/explanation/protocol.md#iam)."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from eicctl.core.model import DIRECT_PORTS, MAX_TUNNEL_DURATION
from eicctl.policy.documents import ROLE_NAMES, Statement, listed
from eicctl.support.bare import parse_json

OPEN = "ec2-instance-connect:OpenTunnel"
PUSH = "ec2-instance-connect:SendSSHPublicKey"
CREATE = "ec2:CreateInstanceConnectEndpoint"
ROLE = "iam:CreateServiceLinkedRole"
PORT, DURATION, ADDRESS, OS_USER = (
    "ec2-instance-connect:remotePort",
    "ec2-instance-connect:maxTunnelDuration",
    "ec2-instance-connect:privateIpAddress",
    "ec2:osuser",
)
_READS = ("ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints")
_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
_OPERATORS = {PORT: "Numeric", DURATION: "Numeric", ADDRESS: "IpAddress", OS_USER: "String"}

Severity = Literal["error", "warning"]
Keys = Mapping[str, list[tuple[str, list[str]]]]
"""Condition keys, each with its operators and values."""

Problems = Iterator[tuple[Severity, str, str]]
"""Severity, problem and remediation of each finding of a statement."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`severity` is `error` (it does not do what it seems to) or `warning` (too broad, or missing).

    `statement` is its Sid, or its number from 1 as `#1`; empty for the document as a whole.
    """

    severity: Severity
    statement: str
    problem: str
    remediation: str


def lint(text: str) -> list[Finding]:
    """Return the findings of a policy document."""
    try:
        policy = parse_json(text)
    except ValueError as error:
        return [Finding("error", "", f"not JSON: {error}", "write an IAM policy document")]
    if not isinstance(policy, dict) or "Statement" not in policy:
        return [Finding("error", "", "Statement is missing", "write an IAM policy document")]
    statements = [
        (str(one.get("Sid") or f"#{number}") if isinstance(one, dict) else f"#{number}", one)
        for number, one in enumerate(listed(policy["Statement"]), 1)
    ]
    found = [Finding(severity, name, *texts) for name, one in statements for severity, *texts in grammar(one)]
    if policy.get("Version") != "2012-10-17":
        found.append(Finding("warning", "", "Version is not 2012-10-17", 'set "Version": "2012-10-17"'))
    if any(finding.severity == "error" for finding in found):
        return found  # what an invalid statement allows is not known
    allows = [(name, one) for name, one in statements if one["Effect"] == "Allow"]
    for check in (_negations, _tunnels, _keys, _wildcards):
        found += [Finding(severity, name, *texts) for name, one in allows for severity, *texts in check(one)]
    return [*found, *(Finding(severity, "", *texts) for severity, *texts in _as_a_whole([one for _, one in allows]))]


def grammar(one: object) -> Problems:
    """Yield what makes a statement invalid, whatever it is about."""
    if not isinstance(one, dict):
        yield "error", "the statement is not an object", "write it as { … }"
        return
    for key in one.keys() - _ELEMENTS:
        yield "error", f"unknown element {key}", f"remove it; the elements are {', '.join(sorted(_ELEMENTS))}"
    if one.get("Effect") not in ("Allow", "Deny"):
        yield "error", "Effect is neither Allow nor Deny", 'set "Effect": "Allow"'
    for element in ("Action", "Resource"):
        given = [key for key in (element, f"Not{element}") if key in one]
        if len(given) != 1:
            yield "error", f"has {'no' if not given else 'two kinds of'} {element}", f"specify one {element}"
        elif not all(isinstance(value, str) and value for value in listed(one[given[0]])):
            yield "error", f"{given[0]} is neither a string nor a list of strings", "use IAM's form"
    for action in listed(one.get("Action", [])):
        if isinstance(action, str) and action != "*" and action.count(":") != 1:
            yield "error", f"the action {action!r} names no service", "write it as service:Action"
    conditions = one.get("Condition", {})
    if not isinstance(conditions, dict) or not all(isinstance(keys, dict) for keys in conditions.values()):
        yield "error", "Condition is not of the form operator: { key: value }", "use IAM's form"


def _negations(one: Statement) -> Problems:
    if "NotAction" in one:
        yield "warning", "NotAction allows all other actions", "list the actions in Action"
    if "NotResource" in one:
        yield "warning", "NotResource allows all other resources", "list the resources in Resource"


def _wildcards(one: Statement) -> Problems:
    for action in listed(one.get("Action", [])):
        covered = [wanted for wanted in (OPEN, PUSH, CREATE) if _like(wanted, action)]
        if covered and "*" in action:
            yield "warning", f"{action} allows {' and '.join(covered)} among others", "list only the required actions"


def _tunnels(one: Statement) -> Problems:
    if not covers(one, OPEN):
        return
    keys, resources = conditions(one), listed(one.get("Resource", []))
    an_endpoint = "arn:aws:ec2:r:0:instance-connect-endpoint/eice-0"
    if "Resource" in one and not any(
        ":instance-connect-endpoint/" in text or _like(an_endpoint, _any_location(text)) for text in resources
    ):
        arn = "arn:aws:ec2:REGION:ACCOUNT:instance-connect-endpoint/eice-…"
        yield (
            "error",
            "OpenTunnel matches no endpoint: its resource is an endpoint, not an instance",
            f"Resource: {arn}; limit targets by privateIpAddress",
        )
    elif any(text == "*" or text.endswith("/*") for text in resources) and not _by_tag(keys):
        yield "warning", "OpenTunnel is allowed through every endpoint", "name the endpoint in Resource"
    yield from _types(keys)
    if PORT not in keys:
        yield "warning", "OpenTunnel is allowed to both ports", f"add NumericEquals {PORT}: 22 (or 3389)"
    for operator, values in keys.get(PORT, ()):
        for value in values:
            if operator.startswith("NumericEquals") and value not in {str(port) for port in DIRECT_PORTS}:
                yield "error", f"EICE does not support port {value}", "allow only 22 and 3389"
    if ADDRESS not in keys:
        yield "warning", "OpenTunnel is allowed to every address", f"add IpAddress {ADDRESS}"
    if DURATION not in keys:
        yield "warning", "tunnels may last the full hour", f"add NumericLessThanEquals {DURATION}, in seconds"
    for operator, values in keys.get(DURATION, ()):
        if operator.endswith("IfExists"):
            yield "warning", f"{operator} allows requests without a duration", "drop IfExists"
        for value in values:
            if value.isdigit() and int(value) > MAX_TUNNEL_DURATION:
                yield "warning", f"tunnels cannot last {value} s", f"the maximum is {MAX_TUNNEL_DURATION}"


def _types(keys: Keys) -> Problems:
    for key, kind in _OPERATORS.items():
        for operator, _ in keys.get(key, ()):
            if kind not in operator and operator != "Null":
                yield "error", f"{operator} does not fit {key}", f"use an operator of {kind}…"


def _keys(one: Statement) -> Problems:
    if not covers(one, PUSH):
        return
    given = conditions(one).get(OS_USER, [])
    users = [value for _, values in given for value in values]
    if not users:
        yield "warning", "keys may be pushed for any OS user, including root", f"add StringEquals {OS_USER}"
    if any("*" in value or "?" in value for value in users):
        yield "warning", f"{OS_USER} has a wildcard", "name the OS users"
    if OPEN not in listed(one.get("Action", [])):
        yield from _types({OS_USER: given})


def _as_a_whole(allows: list[Statement]) -> Problems:
    def allowed(action: str) -> bool:
        return any(covers(one, action) for one in allows)

    if allowed(OPEN) or allowed(PUSH):
        for read in _READS:
            if not allowed(read):
                yield "warning", f"{read} is not allowed, but clients require it", f"allow {read} on *"
        if allowed(OPEN) and allowed(CREATE):
            problem = "the policy allows both connecting and administration"
            yield "warning", problem, "use separate policies: eicctl policy"
    if allowed(CREATE):
        for needed in ("ec2:CreateNetworkInterface", "ec2:CreateTags", ROLE):
            if not allowed(needed):
                yield "warning", f"{needed} is not allowed, but creating an endpoint requires it", f"allow {needed}"
    patterns = [text for one in allows if covers(one, ROLE) for text in listed(one.get("Resource", []))]
    # ARNs, unlike actions, are case-sensitive.
    known = {name: any(fnmatch.fnmatchcase(name, text.rpartition("/")[2]) for text in patterns) for name in ROLE_NAMES}
    for name, there in known.items():
        if not there and any(known.values()):
            problem = f"the service-linked role is not allowed as {name}"
            yield "error", problem, "allow both spellings; accounts have one or the other"


def covers(one: Statement, action: str) -> bool:
    """Whether a statement is about an action."""
    if "NotAction" in one:
        return not any(_like(action, pattern) for pattern in listed(one["NotAction"]))
    return any(_like(action, pattern) for pattern in listed(one.get("Action", [])))


def conditions(one: Statement) -> Keys:
    """Return the condition keys, as this module spells them, each with its operators and values."""
    spelled = {key.lower(): key for key in _OPERATORS}
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for operator, keys in one.get("Condition", {}).items():
        for key, values in keys.items():
            texts = [str(value) for value in listed(values)]
            found.setdefault(spelled.get(key.lower(), key), []).append((operator, texts))
    return found


def _by_tag(keys: Keys) -> bool:
    return any("resourcetag/" in key.lower() for key in keys)


def _any_location(pattern: str) -> str:
    """The pattern of an ARN with wildcards for its region and account."""
    parts = pattern.split(":", 5)
    return ":".join([*parts[:1], "*", "ec2", "*", "*", parts[5]]) if len(parts) == 6 else pattern


def _like(value: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(value.lower(), pattern.lower().replace("[", "[[]"))
