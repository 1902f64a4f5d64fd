"""Policy documents of least privilege, by docs/explanation/protocol.md#iam; control and data plane are separate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from eicctl.policy.scope import Scope

Document = dict[str, Any]

SERVICE = "ec2-instance-connect.amazonaws.com"
ROLE_NAMES = ("AWSServiceRoleForEC2InstanceConnect", "AWSServiceRoleForEc2InstanceConnect")
"""The service-linked role as the documents spell it, and as accounts have it: a policy must allow both."""


def document(scope: Scope) -> Document:
    """Return the policy document for a scope that has been checked."""
    statements = {"connect": _connect, "admin": _admin, "auditor": _auditor}[scope.kind](scope)
    for statement in statements:
        if scope.source_ips:
            statement.setdefault("Condition", {}).setdefault("IpAddress", {})["aws:SourceIp"] = list(scope.source_ips)
    return {"Version": "2012-10-17", "Statement": statements}


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


def _connect(scope: Scope) -> list[Document]:
    conditions: dict[str, dict[str, Any]] = {}
    if scope.ports:
        conditions["NumericEquals"] = {"ec2-instance-connect:remotePort": [str(port) for port in scope.ports]}
    if scope.cidrs:
        conditions["IpAddress"] = {"ec2-instance-connect:privateIpAddress": list(scope.cidrs)}
    if scope.max_duration is not None:
        conditions["NumericLessThanEquals"] = {"ec2-instance-connect:maxTunnelDuration": str(scope.max_duration)}
    found = [_statement("OpenTunnel", "ec2-instance-connect:OpenTunnel", _endpoint_arns(scope), conditions)]
    reads = ["ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints"]
    if scope.os_users:
        tags = {f"aws:ResourceTag/{key}": value for key, value in scope.instance_tags.items()}
        users = {"StringEquals": {"ec2:osuser": list(scope.os_users), **tags}}
        instances = _arn(scope, "instance/*")
        found.append(_statement("PushKey", "ec2-instance-connect:SendSSHPublicKey", instances, users))
        # The host keys that eicctl checks are on the console, and the OS user is that of the image.
        limit = {"StringEquals": tags} if tags else {}
        found.append(_statement("ReadHostKeys", "ec2:GetConsoleOutput", instances, limit))
        reads.append("ec2:DescribeImages")
    return [*found, _statement("Find", reads, "*", {})]


def _admin(scope: Scope) -> list[Document]:
    endpoint, subnet, group = (
        _arn(scope, f"{kind}/*") for kind in ("instance-connect-endpoint", "subnet", "security-group")
    )
    role = f"arn:{scope.partition}:iam::{scope.account}:role/aws-service-role/{SERVICE}/"
    reads = ["InstanceConnectEndpoints", "Instances", "Subnets", "Vpcs", "SecurityGroups"]
    return [
        _statement("CreateEndpoint", "ec2:CreateInstanceConnectEndpoint", [endpoint, subnet, group], {}),
        _statement(
            "ChangeEndpoint",
            ["ec2:ModifyInstanceConnectEndpoint", "ec2:DeleteInstanceConnectEndpoint"],
            [*_listed(_endpoint_arns(scope)), group],
            {},
        ),
        _statement(
            "EndpointInterface", "ec2:CreateNetworkInterface", [subnet, group, _arn(scope, "network-interface/*")], {}
        ),
        _statement("TagEndpoint", "ec2:CreateTags", _endpoint_arns(scope), {}),
        _statement(
            "ServiceLinkedRole",
            "iam:CreateServiceLinkedRole",
            [role + name for name in ROLE_NAMES],
            {"StringEquals": {"iam:AWSServiceName": SERVICE}},
        ),
        _statement("Look", [f"ec2:Describe{what}" for what in reads], "*", {}),
    ]


def _auditor(_scope: Scope) -> list[Document]:
    reads = ["ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints", "cloudtrail:LookupEvents"]
    return [_statement("Look", reads, "*", {})]


def _statement(sid: str, action: str | list[str], resource: str | list[str], conditions: Document) -> Document:
    found: Document = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return {**found, "Condition": conditions} if conditions else found


def _endpoint_arns(scope: Scope) -> str | list[str]:
    found = [
        text if text.startswith("arn:") else _arn(scope, f"instance-connect-endpoint/{text}")
        for text in scope.endpoints or ("*",)
    ]
    return found[0] if len(found) == 1 else found


def _arn(scope: Scope, resource: str) -> str:
    return f"arn:{scope.partition}:ec2:{scope.region}:{scope.account}:{resource}"


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def as_json(_name: str, policy: Document) -> str:
    """The document itself."""
    return json.dumps(policy, indent=2)


def as_cloudformation(name: str, policy: Document) -> str:
    """A template with one managed policy; JSON, which CloudFormation takes as it takes YAML."""
    resource = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"Description": _about(name), "PolicyDocument": policy},
    }
    logical = f"Eicctl{name.title()}"
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {logical: resource}}, indent=2)


def as_terraform(name: str, policy: Document) -> str:
    """A resource of Terraform's AWS provider. JSON's objects are HCL's too, but for its templates."""
    text = re.sub(r"([$%])\{", r"\1\1{", json.dumps(policy, indent=2)).replace("\n", "\n  ")
    return (
        f'resource "aws_iam_policy" "eicctl_{name}" {{\n'
        f'  name        = "eicctl-{name}"\n'
        f'  description = "{_about(name)}"\n'
        f"  policy = jsonencode({text})\n"
        "}"
    )


def _about(name: str) -> str:
    return {
        "connect": "Connect through EC2 Instance Connect Endpoint",
        "admin": "Manage EC2 Instance Connect Endpoints",
        "auditor": "Audit endpoints, instances and connections",
    }[name]


FORMATS: dict[str, Callable[[str, Document], str]] = {
    "json": as_json,
    "terraform": as_terraform,
    "cloudformation": as_cloudformation,
}
