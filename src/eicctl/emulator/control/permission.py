"""Do the caller's policies allow what it asks for? Both planes ask here before anything is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from eicctl.documents import parse_json
from eicctl.emulator.control.backends import ACCOUNT, LOCK, ec2
from eicctl.emulator.control.credentials import Known
from eicctl.emulator.control.policy_language import Context, evaluate
from eicctl.emulator.control.principals import policies_of
from eicctl.emulator.signature import Rejected
from eicctl.emulator.state import State

_SCOPE = re.compile(r"Credential=[^/]+/\d+/([\w-]+)/([\w-]+)/")
_RESOURCES = {"SubnetId": "subnet", "InstanceConnectEndpointId": "instance-connect-endpoint", "InstanceId": "instance"}
_WITHOUT = ("Describe", "List", "Lookup")
"""How the names of actions begin that have no resource."""

_ALWAYS = ("sts:GetCallerIdentity",)
"""What IAM allows whatever the policies say."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request of the control plane asks for: the operation and its parameters, as they are sent."""

    service: str
    region: str
    name: str
    parameters: Mapping[str, str]


class Permission:
    """Evaluates the policies of users and roles.

    Args:
        state: The emulator's memory.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def denial(self, caller: Known, asked: Asked, source_ip: str) -> Rejected | None:
        """Return the error of a call of the control plane that the caller's policies do not allow, else None."""
        policies = policies_of(caller.arn)
        action = f"{asked.service}:{asked.name}"
        if policies is None or not asked.name or action in _ALWAYS:
            return None
        context = self._context(caller, source_ip)
        for resource in self._resources(asked.service, asked.name, asked.parameters, asked.region):
            of_call = self._of_call(action, asked.parameters, resource, asked.region)
            verdict = evaluate(policies, action, resource, {**context, **of_call})
            if not verdict.allowed:
                code = _CODES.get(asked.service, "AccessDenied")
                return Rejected(code, _message(caller, action, resource, verdict.decision))
        return None

    def tunnel_denial(self, caller: Known, region: str, parameters: Mapping[str, str], source_ip: str) -> str | None:
        """Return why the caller's policies do not allow OpenTunnel, else None. `parameters` are those of the URL."""
        policies = policies_of(caller.arn)
        if policies is None:
            return None
        action, endpoint_id = "ec2-instance-connect:OpenTunnel", parameters.get("instanceConnectEndpointId", "")
        names = ("remotePort", "privateIpAddress", "maxTunnelDuration")
        keys = {f"ec2-instance-connect:{name}".lower(): [parameters[name]] for name in names if name in parameters}
        resource = _arn(region, "instance-connect-endpoint", endpoint_id)
        context = {**self._context(caller, source_ip), **keys, **_tags(region, endpoint_id)}
        verdict = evaluate(policies, action, resource, context)
        return None if verdict.allowed else _message(caller, action, resource, verdict.decision)

    def _context(self, caller: Known, source_ip: str) -> dict[str, list[str]]:
        now = self._state.now()
        found = {
            "aws:sourceip": [self._state.behaviour.client_ip or source_ip],
            "aws:principalarn": [caller.arn],
            "aws:currenttime": [now.isoformat()],
            "aws:epochtime": [str(int(now.timestamp()))],
        }
        if ":user/" in caller.arn:
            found["aws:username"] = [caller.arn.rpartition("/")[2]]
        return found

    @staticmethod
    def _of_call(action: str, parameters: Mapping[str, str], resource: str | None, region: str) -> Context:
        found = _tags(region, (resource or "").rpartition("/")[2])
        found["aws:requestedregion"] = [region]
        if action == "ec2-instance-connect:SendSSHPublicKey":
            found["ec2:osuser"] = [parameters.get("InstanceOSUser", "")]
        if action == "iam:CreateServiceLinkedRole":
            found["iam:awsservicename"] = [parameters.get("AWSServiceName", "")]
        if action == "ec2:CreateTags" and resource:
            found |= {
                f"aws:requesttag/{parameters[name]}".lower(): [parameters.get(name.replace("Key", "Value"), "")]
                for name in parameters
                if re.fullmatch(r"Tag\.\d+\.Key", name)
            }
        return found

    @staticmethod
    def _resources(service: str, name: str, parameters: Mapping[str, str], region: str) -> list[str | None]:
        """The ARNs of what a call works on; None where the emulator does not know them."""
        if name.startswith(_WITHOUT) and service in ("ec2", "cloudtrail", "sts"):
            return ["*"]
        if service == "iam" and name == "SimulatePrincipalPolicy":
            return [parameters.get("PolicySourceArn", "")]
        if service not in ("ec2", "ec2-instance-connect"):
            return [None]
        found = [_arn(region, kind, parameters[key]) for key, kind in _RESOURCES.items() if key in parameters]
        if name == "CreateInstanceConnectEndpoint":
            groups = [value for key, value in parameters.items() if key.startswith("SecurityGroupId.")]
            found += [_arn(region, "security-group", group) for group in groups]
            found.append(_arn(region, "instance-connect-endpoint", "*"))
        return [*found] or [None]


_CODES = {"ec2": "UnauthorizedOperation", "ec2-instance-connect": "AccessDeniedException"}
"""How services call a denial; the others say AccessDenied."""


def asked_of(headers: Mapping[str, str], body: bytes) -> Asked | None:
    """What a signed request asks for, or None where its signature has no scope."""
    scope = _SCOPE.search(headers.get("authorization", ""))
    return Asked(scope[2], scope[1], *_request(headers, body)) if scope else None


def _request(headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, str]]:
    """The action of a request, and its parameters, in the JSON or the query protocol."""
    if target := headers.get("x-amz-target"):
        try:
            fields = parse_json(body or b"{}")
        except ValueError:
            fields = None
        named = fields if isinstance(fields, dict) else {}
        return target.rpartition(".")[2], {key: str(value) for key, value in named.items()}
    parameters = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    return parameters.get("Action", ""), parameters


def _tags(region: str, resource_id: str) -> dict[str, list[str]]:
    with LOCK:
        tags = dict(ec2(region).tags.get(resource_id, {})) if resource_id and resource_id != "*" else {}
    return {f"{prefix}:resourcetag/{key}".lower(): [value] for key, value in tags.items() for prefix in ("aws", "ec2")}


def _arn(region: str, kind: str, resource_id: str) -> str:
    return f"arn:aws:ec2:{region}:{ACCOUNT}:{kind}/{resource_id}"


def _message(caller: Known, action: str, resource: str | None, decision: str) -> str:
    on = f" on resource: {resource}" if resource else ""
    why = (
        "with an explicit deny in an identity-based policy"
        if decision == "explicitDeny"
        else f"because no identity-based policy allows the {action} action"
    )
    prefix = "You are not authorized to perform this operation. " if action.startswith("ec2:") else ""
    return f"{prefix}User: {caller.arn} is not authorized to perform: {action}{on} {why}"
