"""Whether a request is well-formed and allowed by the caller's policies. Both planes check before they act."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import parse_qsl

from eicctl.emulator.control.backends import ACCOUNT, LOCK, ec2
from eicctl.emulator.control.policy_language import Context, evaluate, policies_of
from eicctl.emulator.signature import AccessKey, Rejected
from eicctl.emulator.state import State
from eicctl.support.documents import parse_json

UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no form for: an answer with one of them could not be read (XML 1.0, section 2.2)."""

_IDS = {
    "i": ("InstanceId", "InvalidInstanceID.Malformed", "instance"),
    "subnet": ("SubnetId", "InvalidSubnetID.Malformed", "subnet"),
    "vpc": ("VpcId", "InvalidVpcID.Malformed", "vpc"),
    "sg": ("GroupId", "InvalidGroupId.Malformed", "security-group"),
    "eice": ("InstanceConnectEndpointId", "InvalidInstanceConnectEndpointId.Malformed", "instance-connect-endpoint"),
    "eni": ("NetworkInterfaceId", "InvalidNetworkInterfaceId.Malformed", "network-interface"),
    "rtb": ("RouteTableId", "InvalidRouteTableId.Malformed", "route-table"),
    "ami": ("ImageId", "InvalidAMIID.Malformed", "image"),
    "pcx": ("VpcPeeringConnectionId", "InvalidVpcPeeringConnectionId.Malformed", "vpc-peering-connection"),
}
"""Prefixes of EC2's IDs: parameter, error code of a malformed one (EC2 API, error codes), and kind in ARNs."""

_BY_PARAMETER = {name: prefix for prefix, (name, _, _) in _IDS.items()} | {"SecurityGroupId": "sg"}
_FORM = re.compile(r"([a-z]+)-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_LISTED = re.compile(r"(\w+?)(?:\.\d+)?")


def invalid(service: str, parameters: Mapping[str, str]) -> Rejected | None:
    """Return the error of a request's parameters, as they are sent in the query protocol; None where they are fine."""
    for name, value in parameters.items():
        if UNWRITABLE.search(name + value):
            code = "InvalidParameterValue" if service == "ec2" else "ValidationError"
            return Rejected(code, f"The value of {name!a} has characters that are not valid.")
        if service == "ec2" and (code := _malformed(name, value)):
            return Rejected(code, f'Invalid id: "{value}" (expecting "{prefix_of(name, value)}-...")')
    return None


def prefix_of(name: str, value: str) -> str:
    """Return the prefix of the ID that a parameter of EC2 is; empty where it is none of those known here."""
    listed = _LISTED.fullmatch(name)
    key = listed[1] if listed else ""
    if key == "ResourceId":  # of CreateTags: whatever has tags
        return next((prefix for prefix in _IDS if value.startswith(f"{prefix}-")), "")
    return _BY_PARAMETER.get(key, "")


def _malformed(name: str, value: str) -> str:
    """Return the error code of a malformed ID, or an empty string."""
    prefix = prefix_of(name, value)
    found = _FORM.fullmatch(value)
    return "" if not prefix or (found and found[1] == prefix) else _IDS[prefix][1]


_SCOPE = re.compile(r"Credential=[^/]+/\d+/([\w-]+)/([\w-]+)/")
_WITHOUT = ("Describe", "List", "Lookup")
"""How the names of actions begin that have no resource."""

_ALWAYS = ("sts:GetCallerIdentity",)
"""What IAM allows whatever the policies say."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from."""

    address: str
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class ApiCall:
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

    def denial(self, caller: AccessKey, asked: ApiCall, origin: Origin) -> Rejected | None:
        """Return the error of a call of the control plane that the caller's policies do not allow, else None."""
        policies = policies_of(caller.arn)
        action = f"{asked.service}:{asked.name}"
        if policies is None or not asked.name or action in _ALWAYS:
            return None
        context = self.context(caller, origin)
        for resource in self._resources(asked.service, asked.name, asked.parameters, asked.region):
            of_call = self._of_call(action, asked.parameters, resource, asked.region)
            verdict = evaluate(policies, action, resource, {**context, **of_call})
            if not verdict.allowed:
                code = _CODES.get(asked.service, "AccessDenied")
                return Rejected(code, _message(caller, action, resource, verdict.decision))
        return None

    def tunnel_denial(
        self, caller: AccessKey, region: str, parameters: Mapping[str, str], origin: Origin
    ) -> str | None:
        """Return why the caller's policies do not allow OpenTunnel, else None. `parameters` are those of the URL."""
        policies = policies_of(caller.arn)
        if policies is None:
            return None
        action, endpoint_id = "ec2-instance-connect:OpenTunnel", parameters.get("instanceConnectEndpointId", "")
        names = ("remotePort", "privateIpAddress", "maxTunnelDuration")
        keys = {f"ec2-instance-connect:{name}".lower(): [parameters[name]] for name in names if name in parameters}
        resource = _arn(region, "instance-connect-endpoint", endpoint_id)
        context = {**self.context(caller, origin), **keys, **_tags(region, endpoint_id)}
        verdict = evaluate(policies, action, resource, context)
        return None if verdict.allowed else _message(caller, action, resource, verdict.decision)

    def context(self, caller: AccessKey, origin: Origin) -> dict[str, list[str]]:
        """Return the condition keys that every request has (IAM user guide, global condition keys).

        `aws:MultiFactorAuthPresent` is there for temporary keys only, and `aws:MultiFactorAuthAge` only where MFA was
        proved: a long-lived key says nothing of MFA.
        """
        now = self._state.now()
        found = {
            "aws:sourceip": [self._state.behavior.client_ip or origin.address],
            "aws:principalarn": [caller.arn],
            "aws:currenttime": [now.isoformat()],
            "aws:epochtime": [str(int(now.timestamp()))],
        }
        if origin.user_agent:
            found["aws:useragent"] = [origin.user_agent]
        if caller.session_token:
            found["aws:multifactorauthpresent"] = [str(caller.mfa).lower()]
        if caller.mfa_at:
            found["aws:multifactorauthage"] = [str(int((now - caller.mfa_at.replace(tzinfo=UTC)).total_seconds()))]
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
        found = [
            _arn(region, _IDS[prefix][2], value)
            for key, value in parameters.items()
            if (prefix := prefix_of(key, value))
        ]
        if name == "CreateInstanceConnectEndpoint":
            found.append(_arn(region, "instance-connect-endpoint", "*"))
        return [*found] or [None]


_CODES = {"ec2": "UnauthorizedOperation", "ec2-instance-connect": "AccessDeniedException"}
"""How services call a denial; the others say AccessDenied."""


def parse_call(headers: Mapping[str, str], body: bytes) -> ApiCall | None:
    """What a signed request asks for, or None where its signature has no scope."""
    scope = _SCOPE.search(headers.get("authorization", ""))
    return ApiCall(scope[2], scope[1], *_request(headers, body)) if scope else None


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


def _message(caller: AccessKey, action: str, resource: str | None, decision: str) -> str:
    on = f" on resource: {resource}" if resource else ""
    why = (
        "with an explicit deny in an identity-based policy"
        if decision == "explicitDeny"
        else f"because no identity-based policy allows the {action} action"
    )
    prefix = "You are not authorized to perform this operation. " if action.startswith("ec2:") else ""
    return f"{prefix}User: {caller.arn} is not authorized to perform: {action}{on} {why}"
