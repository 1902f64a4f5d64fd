"""An endpoint, its security group and the targets' rules for Terraform, CloudFormation, or the AWS CLI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from eicctl.aws.endpoints import NewEndpoint, request_of
from eicctl.aws.security_groups import RULE, PlannedGroup
from eicctl.core.model import DIRECT_PORTS, Endpoint
from eicctl.support import pins

_DESCRIPTION = "EC2 Instance Connect Endpoint"

Command = Callable[..., str]
"""Returns a command line with this session's profile and region."""


class Reference(str):
    """An expression of Terraform's, or of a shell's."""

    __slots__ = ()


LANGUAGES = {"terraform": "Terraform", "cloudformation": "CloudFormation", "awscli": "AWS CLI"}
"""The tools, by their names in options."""


def described(new: NewEndpoint, group: PlannedGroup | None, language: str, command: Command) -> str:
    """Return an endpoint for a tool, one of `LANGUAGES`; the other arguments are those of `awscli`."""
    if language == "awscli":
        return awscli(new, group, command)
    return terraform(new, group) if language == "terraform" else cloudformation(new, group)


def notes(new: NewEndpoint) -> dict[str, str]:
    """Return what a description omits, by the title of its tool."""
    note = "CloudFormation cannot set the IP address type; the endpoint gets the subnet's"
    return {LANGUAGES["cloudformation"]: note} if new.ip_address_type else {}


def terraform(new: NewEndpoint, group: PlannedGroup | None, import_id: str = "") -> str:
    """Return Terraform's configuration, for the provider hashicorp/aws; an address type needs its version 6.20.

    Args:
        new: The endpoint.
        group: Its security group, or None.
        import_id: The ID of an endpoint that exists, for its `import` block; empty if it is to be created.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", new.tags.get("Name", "")) or "eice"
    name = name if re.match(r"[A-Za-z_]", name) else f"_{name}"
    blocks, group_ids = [], [*new.security_group_ids]
    if group:
        group_id = group.group_id or Reference(f"aws_security_group.{name}.id")
        group_ids.append(group_id)
        if not group.group_id:
            values = {"name": group.name, "description": _DESCRIPTION, "vpc_id": group.vpc_id, "tags": _own(group.tags)}
            blocks.append(_block("resource", ("aws_security_group", name), values))
        for number, (port, cidr) in enumerate(group.egress):
            family = "cidr_ipv6" if ":" in cidr else "cidr_ipv4"
            rule = {"security_group_id": group_id, family: cidr, **_tcp(port)}
            blocks.append(_block("resource", ("aws_vpc_security_group_egress_rule", f"{name}_{port}_{number}"), rule))
        for number, target in enumerate(group.targets):
            source = {"security_group_id": target, "referenced_security_group_id": group_id, "description": RULE}
            for port in DIRECT_PORTS:
                labels = ("aws_vpc_security_group_ingress_rule", f"{name}_{port}_{number}")
                blocks.append(_block("resource", labels, {**source, **_tcp(port)}))
    if import_id:
        to = Reference(f"aws_ec2_instance_connect_endpoint.{name}")
        blocks.append(_block("import", (), {"to": to, "id": import_id}))
    endpoint = {
        "subnet_id": new.subnet_id,
        "security_group_ids": group_ids or None,
        "preserve_client_ip": new.preserve_client_ip,
        "ip_address_type": new.ip_address_type or None,
        "tags": dict(new.tags) or None,
    }
    blocks.append(_block("resource", ("aws_ec2_instance_connect_endpoint", name), endpoint))
    return "\n".join(blocks)


def existing(endpoint: Endpoint) -> str:
    """Return Terraform's configuration of an endpoint that exists, with its import block."""
    return terraform(like(endpoint), None, endpoint.id)


def like(endpoint: Endpoint) -> NewEndpoint:
    """Return what would create an endpoint like one that exists."""
    tags = {key: value for key, value in endpoint.tags.items() if not key.startswith("aws:")}
    kind = endpoint.ip_address_type if endpoint.ip_address_type != "ipv4" else ""
    return NewEndpoint(endpoint.subnet_id, endpoint.security_group_ids, endpoint.preserve_client_ip, kind, tags)


def cloudformation(new: NewEndpoint, group: PlannedGroup | None) -> str:
    """Return a CloudFormation template in JSON. It has no address type, which the resource does not know."""
    resources: dict[str, object] = {}
    group_ids: list[object] = [*new.security_group_ids]
    if group:
        group_id = group.group_id or {"Fn::GetAtt": ["SecurityGroup", "GroupId"]}
        group_ids.append(group_id)
        if not group.group_id:
            egress = [
                {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIpv6" if ":" in cidr else "CidrIp": cidr}
                for port, cidr in group.egress
            ]
            resources["SecurityGroup"] = {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {
                    "GroupName": group.name,
                    "GroupDescription": _DESCRIPTION,
                    "VpcId": group.vpc_id,
                    "SecurityGroupEgress": egress,
                    "Tags": _tags(_own(group.tags)),
                },
            }
        for number, target in enumerate(group.targets, 1):
            for port in DIRECT_PORTS:
                resources[f"Ingress{number}Port{port}"] = {
                    "Type": "AWS::EC2::SecurityGroupIngress",
                    "Properties": {
                        "GroupId": target,
                        "SourceSecurityGroupId": group_id,
                        "IpProtocol": "tcp",
                        "FromPort": port,
                        "ToPort": port,
                        "Description": RULE,
                    },
                }
    properties: dict[str, object] = {"SubnetId": new.subnet_id, "PreserveClientIp": new.preserve_client_ip}
    if group_ids:
        properties["SecurityGroupIds"] = group_ids
    if new.tags:
        properties["Tags"] = _tags(new.tags)
    resources["Endpoint"] = {"Type": "AWS::EC2::InstanceConnectEndpoint", "Properties": properties}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": _DESCRIPTION,
        "Resources": resources,
        "Outputs": {"EndpointId": {"Value": {"Ref": "Endpoint"}}},
    }
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def awscli(new: NewEndpoint, group: PlannedGroup | None, command: Command) -> str:
    """Return commands of the AWS CLI for a POSIX shell, which make eicctl's own calls.

    Args:
        new: The endpoint.
        group: Its security group, or None.
        command: Returns a command line with a profile and a region.
    """
    lines = []
    group_ids = [pins.command(each) for each in new.security_group_ids]
    if group:
        group_id = pins.command(group.group_id) if group.group_id else '"$GROUP_ID"'
        group_ids.append(group_id)
        if not group.group_id:
            tags = [{"ResourceType": "security-group", "Tags": _tags(group.tags)}]
            words = ["--group-name", group.name, "--vpc-id", group.vpc_id]
            words += ["--description", f"{_DESCRIPTION}, created by eicctl", "--tag-specifications", json.dumps(tags)]
            made = command("aws", "ec2", "create-security-group", *words, "--query", "GroupId", "--output", "text")
            lines.append(f"GROUP_ID=$({made})")
            everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
            rules = [
                {
                    "IpProtocol": "tcp",
                    "FromPort": port,
                    "ToPort": port,
                    **({"Ipv6Ranges": [{"CidrIpv6": cidr}]} if ":" in cidr else {"IpRanges": [{"CidrIp": cidr}]}),
                }
                for port, cidr in group.egress
            ]
            for verb, permissions in (("revoke", everything), ("authorize", rules)):
                line = command(
                    "aws", "ec2", f"{verb}-security-group-egress", "--ip-permissions", json.dumps(permissions)
                )
                lines.append(f"{line} --group-id {group_id}")
        for target in group.targets:
            for port in DIRECT_PORTS:
                pair = [{"GroupId": "{}", "Description": RULE}]
                rule = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": pair}]
                shown = json.dumps(rule).replace('"{}"', f"\"'{group_id}'\"")
                line = command("aws", "ec2", "authorize-security-group-ingress", "--group-id", target)
                lines.append(f"{line} --ip-permissions '{shown}'")
    words = ["--subnet-id", new.subnet_id, f"--{'' if new.preserve_client_ip else 'no-'}preserve-client-ip"]
    if new.ip_address_type:
        words += ["--ip-address-type", new.ip_address_type]
    if new.tags:
        words += ["--tag-specifications", json.dumps(request_of(new)["TagSpecifications"])]
    line = command("aws", "ec2", "create-instance-connect-endpoint", *words)
    lines.append(" ".join([line, *(["--security-group-ids", *group_ids] if group_ids else [])]))
    return "\n".join(lines) + "\n"


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags without eicctl's own: what another tool manages is not eicctl's to delete."""
    return {key: value for key, value in tags.items() if not key.startswith("eicctl:")}


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _tcp(port: int) -> dict[str, object]:
    return {"ip_protocol": "tcp", "from_port": port, "to_port": port}


def _block(kind: str, labels: tuple[str, ...], values: Mapping[str, object]) -> str:
    """Return a block of Terraform's language, as `terraform fmt` would write it. Values of None are left out."""
    kept = {key: value for key, value in values.items() if value is not None}
    plain = {key: value for key, value in kept.items() if not isinstance(value, Mapping)}
    width = max(map(len, plain))
    lines = [" ".join([kind, *map(_hcl, labels), "{"])]
    lines += [f"  {key.ljust(width)} = {_hcl(value)}" for key, value in plain.items()]
    for key, table in kept.items():
        if isinstance(table, Mapping):
            longest = max(len(_hcl(name)) for name in table)
            lines += ["", f"  {key} = {{"]
            lines += [f"    {_hcl(name).ljust(longest)} = {_hcl(value)}" for name, value in table.items()]
            lines.append("  }")
    return "\n".join([*lines, "}", ""])


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _hcl(value: object) -> str:
    """Return a value as Terraform's language has it. Texts are literal: nothing in them is evaluated."""
    if isinstance(value, Reference):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_hcl, value))}]"
    text = "".join(_ESCAPES.get(char, char if char.isprintable() else f"\\U{ord(char):08x}") for char in str(value))
    literal = re.sub(r"([$%])(?={)", r"\1\1", text)
    return f'"{literal}"'
