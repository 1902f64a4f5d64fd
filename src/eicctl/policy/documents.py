"""Policy documents of least privilege: the options that limit one, validated, and the document in each format."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypedDict, TypeVar

from eicctl.core.errors import UsageError
from eicctl.core.model import DIRECT_PORTS, MAX_TUNNEL_DURATION

Kind = Literal["connect", "admin", "auditor"]

T = TypeVar("T")

_ENDPOINT_ID = re.compile(r"eice-([0-9a-f]{17}|[0-9a-f]{8})")
_ENDPOINT_ARN = re.compile(r"arn:[\w-]+:ec2:[\w*-]*:(\d{12}|\*)?:instance-connect-endpoint/(\*|eice-[0-9a-f]{8,17})")
OS_USER_NAME = re.compile(r"[A-Za-z_0-9][A-Za-z0-9@._-]{0,31}")


@dataclass(frozen=True, slots=True)
class Scope:
    """What the policy is limited to; empty values limit nothing.

    Attributes:
        kind: `connect` is the data plane, `admin` the control plane, `auditor` reads only.
        endpoints: IDs or ARNs.
        ports: Remote ports.
        cidrs: Ranges of the targets' private addresses.
        max_duration: Maximum tunnel duration in seconds.
        os_users: OS users that keys may be pushed for; empty for no permission to push.
        instances: ARNs of the instances that keys may be pushed to; empty for any.
        instance_tags: Tags that instances must have for keys to be pushed to them, each with its value or values.
        source_ips: Ranges of the callers' public addresses.
        start: Whether stopped instances may be started (`eicctl ssh --start`).
        account: Account ID, or `*`.
        region: Region, or `*`.
        partition: `aws`, `aws-cn` or `aws-us-gov`.
    """

    kind: Kind
    endpoints: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    cidrs: tuple[str, ...] = ()
    max_duration: int | None = None
    os_users: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    instance_tags: Mapping[str, str | list[str]] = field(default_factory=dict)
    source_ips: tuple[str, ...] = ()
    start: bool = False
    account: str = "*"
    region: str = "*"
    partition: str = "aws"


def checked(scope: Scope) -> Scope:
    """Return the scope with normalized ranges.

    Raises:
        UsageError: An option is invalid, or has no effect.
    """
    _check_kind(scope)
    for endpoint in scope.endpoints:
        _check_endpoint(endpoint)
    for port in scope.ports:
        if port not in DIRECT_PORTS:
            raise UsageError(
                f"Endpoints support only ports 22 and 3389, not {port}",
                hint="other ports are forwarded over SSH (eicctl forward): allow 22",
            )
    if scope.max_duration is not None and not 1 <= scope.max_duration <= MAX_TUNNEL_DURATION:
        raise UsageError(f"--max-duration {scope.max_duration}: must be 1 to {MAX_TUNNEL_DURATION} s")
    _check_users(scope)
    if not re.fullmatch(r"\d{12}|\*", scope.account):
        raise UsageError(f"--account {scope.account!r}: not a 12-digit account ID")
    source_ips = _ranges("--source-ip", scope.source_ips)
    _check_public(source_ips)
    ports = tuple(sorted(set(scope.ports)))
    return replace(scope, ports=ports, cidrs=_ranges("--cidr", scope.cidrs), source_ips=source_ips)


def _check_kind(scope: Scope) -> None:
    given = {
        "--port": scope.ports,
        "--cidr": scope.cidrs,
        "--max-duration": scope.max_duration is not None,
        "--os-user": scope.os_users,
        "--instance-tag": scope.instance_tags,
        "--allow-start": scope.start,
        "--endpoint": scope.endpoints if scope.kind == "auditor" else (),
    }
    wrong = [option for option, value in given.items() if value]
    if scope.kind == "connect" or not wrong:
        return
    if scope.kind == "admin":
        raise UsageError(
            f"{wrong[0]} has no effect in a policy for administration: it limits connections, not the management of "
            "endpoints",
            hint="eicctl policy connect; attach both policies to principals who need both",
        )
    raise UsageError(
        f"{wrong[0]} has no effect in a policy for auditors: they open no tunnels, and Describe… and "
        "LookupEvents cannot be limited to a resource",
        hint="--source-ip is the only limit that auditor takes",
    )


def _check_endpoint(text: str) -> None:
    if _ENDPOINT_ID.fullmatch(text) or _ENDPOINT_ARN.fullmatch(text):
        return
    hint = "eicctl list-endpoints"
    if text.startswith("i-") or ":instance/" in text:
        hint = "tunnels go to addresses, not to instances: limit them with --cidr ADDRESS/32"
    raise UsageError(f"--endpoint {text!r}: neither the ID (eice-…) nor the ARN of an endpoint", hint=hint)


def _check_users(scope: Scope) -> None:
    for user in scope.os_users:
        if not OS_USER_NAME.fullmatch(user):
            raise UsageError(f"--os-user {user!r}: not a valid OS user name", hint="wildcards would include root")
    if scope.os_users and scope.ports and 22 not in scope.ports:
        raise UsageError(
            "--os-user has no effect without port 22: keys are for SSH", hint="add --port 22, or omit --os-user"
        )
    if scope.instance_tags and not (scope.os_users or scope.start):
        raise UsageError(
            "--instance-tag has no effect without --os-user: it limits which instances accept pushed keys; a tunnel "
            "goes to an address",
            hint="--cidr limits where tunnels go; --os-user allows keys to be pushed",
        )


def _ranges(option: str, texts: Sequence[str]) -> tuple[str, ...]:
    found = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise UsageError(f"{option} {text!r}: {error}") from None
        if network.prefixlen == 0:
            raise UsageError(f"{option} {text} limits nothing: omit it")
        found.append(str(network))
    return tuple(dict.fromkeys(found))


_EXAMPLES = [
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]
"""Ranges for documentation (RFC 5737, RFC 3849), which Python counts as private."""


def is_public(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether AWS may see callers with an address of a network; it is, in examples of documentation, too."""
    example = any(network.version == one.version and network.subnet_of(one) for one in _EXAMPLES)  # type: ignore[arg-type]
    return network.is_global or not network.is_private or example


def _check_public(ranges: Sequence[str]) -> None:
    for network in map(ipaddress.ip_network, ranges):
        if not is_public(network):
            raise UsageError(
                f"--source-ip {network} never matches: AWS sees the public address of the caller",
                hint="use the public range of the office or VPN; --cidr is for the targets' private addresses",
            )


Conditions = dict[str, dict[str, str | list[str]]]
"""Operators, each with condition keys and their values."""


class Statement(TypedDict, total=False):
    """A statement of a policy document."""

    Sid: str
    Effect: str
    Action: str | list[str]
    NotAction: str | list[str]
    Resource: str | list[str]
    NotResource: str | list[str]
    Condition: Conditions


class Document(TypedDict):
    """A policy document."""

    Version: str
    Statement: list[Statement]


def listed(value: T | list[T]) -> list[T]:
    """Return a value of a document as a list."""
    return value if isinstance(value, list) else [value]


SERVICE = "ec2-instance-connect.amazonaws.com"
ROLE_NAMES = ("AWSServiceRoleForEC2InstanceConnect", "AWSServiceRoleForEc2InstanceConnect")
"""The service-linked role as the documents spell it, and as accounts have it: a policy must allow both."""


def document(scope: Scope) -> Document:
    """Return the policy document for a scope that has been checked."""
    statements = {"connect": _connect, "admin": _admin, "auditor": _auditor}[scope.kind](scope)
    return {"Version": "2012-10-17", "Statement": limited(statements, scope.source_ips)}


def limited(statements: list[Statement], source_ips: Sequence[str]) -> list[Statement]:
    """Limit statements to callers in these ranges, if there are any; return them."""
    for statement in statements if source_ips else ():
        statement.setdefault("Condition", {}).setdefault("IpAddress", {})["aws:SourceIp"] = list(source_ips)
    return statements


def numbered(statements: Iterable[Statement]) -> list[Statement]:
    """Return different statements, each once, with a number after a Sid that another one has."""
    found: list[Statement] = []
    used: dict[str, int] = {}
    for statement in statements:
        if not any({**one, "Sid": statement["Sid"]} == statement for one in found):
            sid = statement["Sid"]
            used[sid] = used.get(sid, 0) + 1
            found.append({**statement, "Sid": f"{sid}{used[sid]}" if used[sid] > 1 else sid})
    return found


def notes(scope: Scope) -> list[str]:
    """Return notes on the policy for the user."""
    found = []
    if scope.kind == "connect":
        if not scope.os_users:
            found.append("no --os-user: keys cannot be pushed; users log in with keys already on the instances")
        if scope.instance_tags:
            found.append(
                "the tags limit which instances accept pushed keys; OpenTunnel has no condition keys for the "
                "target's tags: limit tunnels with --cidr"
            )
        if scope.max_duration is not None:
            found.append("requests without a duration are refused; one is sent automatically")
        if not scope.endpoints:
            found.append("no --endpoint: tunnels through all endpoints in the account are allowed")
    if scope.kind == "admin":
        found.append(
            "security groups are not included: ec2:CreateSecurityGroup, ec2:AuthorizeSecurityGroup…, "
            "ec2:RevokeSecurityGroup…, ec2:DeleteSecurityGroup, ec2:DescribeNetworkInterfaces"
        )
        if scope.endpoints:
            found.append("--endpoint limits modifying and deleting; a new endpoint has no ID yet")
    return found


def _connect(scope: Scope) -> list[Statement]:
    found = [tunnel_statement(scope)]
    if scope.start:
        limit = {"StringEquals": _tags(scope)} if scope.instance_tags else {}
        found.append(_statement("StartInstances", "ec2:StartInstances", _arn(scope, "instance/*"), limit))
    if scope.os_users:
        found += key_statements(scope)
    return [*found, find_statement(keys=bool(scope.os_users))]


def tunnel_statement(scope: Scope) -> Statement:
    """Return the statement for opening tunnels."""
    conditions: Conditions = {}
    if scope.ports:
        conditions["NumericEquals"] = {"ec2-instance-connect:remotePort": [str(port) for port in scope.ports]}
    if scope.cidrs:
        conditions["IpAddress"] = {"ec2-instance-connect:privateIpAddress": list(scope.cidrs)}
    if scope.max_duration is not None:
        conditions["NumericLessThanEquals"] = {"ec2-instance-connect:maxTunnelDuration": str(scope.max_duration)}
    return _statement("OpenTunnel", "ec2-instance-connect:OpenTunnel", _endpoint_arns(scope), conditions)


def key_statements(scope: Scope) -> list[Statement]:
    """Return the statements for pushing keys, and for reading the host keys of the same instances."""
    instances = list(scope.instances) or _arn(scope, "instance/*")
    users = {"StringEquals": {"ec2:osuser": list(scope.os_users), **_tags(scope)}}
    limit = {"StringEquals": _tags(scope)} if scope.instance_tags else {}
    return [
        _statement("PushKey", "ec2-instance-connect:SendSSHPublicKey", instances, users),
        # The host keys that eicctl checks are on the console.
        _statement("ReadHostKeys", "ec2:GetConsoleOutput", instances, limit),
    ]


def find_statement(*, keys: bool) -> Statement:
    """Return the statement for what clients look up; with `keys`, images too, which identify the OS user."""
    reads = ["ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints"]
    return _statement("Find", [*reads, "ec2:DescribeImages"] if keys else reads, "*", {})


def _tags(scope: Scope) -> dict[str, str | list[str]]:
    return {f"aws:ResourceTag/{key}": value for key, value in scope.instance_tags.items()}


def _admin(scope: Scope) -> list[Statement]:
    kinds = ("instance-connect-endpoint", "subnet", "security-group", "network-interface")
    endpoint, subnet, group, interface = (_arn(scope, f"{kind}/*") for kind in kinds)
    role = f"arn:{scope.partition}:iam::{scope.account}:role/aws-service-role/{SERVICE}/"
    reads = ["InstanceConnectEndpoints", "Instances", "Subnets", "Vpcs", "SecurityGroups"]
    return [
        _statement("CreateEndpoint", "ec2:CreateInstanceConnectEndpoint", [endpoint, subnet, group], {}),
        _statement(
            "ChangeEndpoint",
            ["ec2:ModifyInstanceConnectEndpoint", "ec2:DeleteInstanceConnectEndpoint"],
            [*listed(_endpoint_arns(scope)), group],
            {},
        ),
        _statement("EndpointInterface", "ec2:CreateNetworkInterface", [subnet, group, interface], {}),
        _statement("TagEndpoint", "ec2:CreateTags", _endpoint_arns(scope), {}),
        _statement(
            "ServiceLinkedRole",
            "iam:CreateServiceLinkedRole",
            [role + name for name in ROLE_NAMES],
            {"StringEquals": {"iam:AWSServiceName": SERVICE}},
        ),
        _statement("Look", [f"ec2:Describe{what}" for what in reads], "*", {}),
    ]


def _auditor(_scope: Scope) -> list[Statement]:
    reads = ["ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints", "cloudtrail:LookupEvents"]
    return [_statement("Look", reads, "*", {})]


def _statement(sid: str, action: str | list[str], resource: str | list[str], conditions: Conditions) -> Statement:
    found: Statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return {**found, "Condition": conditions} if conditions else found


def _endpoint_arns(scope: Scope) -> str | list[str]:
    arns = [
        text if text[:4] == "arn:" else _arn(scope, f"instance-connect-endpoint/{text}") for text in scope.endpoints
    ]
    return arns if len(arns) > 1 else arns[0] if arns else _arn(scope, "instance-connect-endpoint/*")


def _arn(scope: Scope, resource: str) -> str:
    return f"arn:{scope.partition}:ec2:{scope.region}:{scope.account}:{resource}"


_DESCRIPTIONS = {
    "connect": "Connect through EC2 Instance Connect Endpoint",
    "admin": "Manage EC2 Instance Connect Endpoints",
    "auditor": "Audit endpoints, instances and connections",
}


Policies = Mapping[str, Document]
"""Policies by the ARN of the user or role whom they are for; one for anybody has an empty text."""


def as_json(_kind: str, policies: Policies) -> str:
    """The document itself; where there are several, an object of them."""
    return json.dumps(next(iter(policies.values())) if len(policies) == 1 else policies, indent=2)


def as_cloudformation(kind: str, policies: Policies) -> str:
    """A template with managed policies; JSON, which CloudFormation accepts as it does YAML."""
    resources = {
        f"Eicctl{kind.title()}{''.join(map(str.title, words))}": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"Description": _DESCRIPTIONS[kind], "PolicyDocument": policy},
        }
        for words, policy in _named(policies)
    }
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}, indent=2)


def as_terraform(kind: str, policies: Policies) -> str:
    """Resources of Terraform's AWS provider. JSON's objects are HCL's, too, except for its templates."""
    found = []
    for words, policy in _named(policies):
        text = re.sub(r"([$%])\{", r"\1\1{", json.dumps(policy, indent=2)).replace("\n", "\n  ")
        found.append(
            f'resource "aws_iam_policy" "{"_".join(("eicctl", kind, *words))}" {{\n'
            f'  name        = "{"-".join(("eicctl", kind, *words))}"\n'
            f'  description = "{_DESCRIPTIONS[kind]}"\n'
            f"  policy = jsonencode({text})\n"
            "}"
        )
    return "\n\n".join(found)


def _named(policies: Policies) -> Iterable[tuple[list[str], Document]]:
    """The policies, each with the words of a name that no other one has, in any case of letters."""
    used: set[str] = set()
    for arn, policy in policies.items():
        plain = re.findall(r"[A-Za-z0-9]+", arn.rpartition(":")[2])
        words, number = plain, 1
        while "".join(words).lower() in used:
            number += 1
            words = [*plain, str(number)]
        used.add("".join(words).lower())
        yield words, policy


FORMATS: dict[str, Callable[[str, Policies], str]] = {
    "json": as_json,
    "terraform": as_terraform,
    "cloudformation": as_cloudformation,
}
