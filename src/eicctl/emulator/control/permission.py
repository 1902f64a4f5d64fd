"""Whether a request is well-formed and allowed by the caller's policies. Both planes check before they act."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import parse_qsl

from eicctl.emulator.control.backends import LOCK, ec2
from eicctl.emulator.control.policy_language import Context, evaluate, policies_of
from eicctl.emulator.signature import AccessKey, Rejected
from eicctl.emulator.state import State
from eicctl.support.bare import parse_json

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


def invalid(call: ApiCall) -> Rejected | None:
    """Return the error of a call's parameters in the query protocol; None if they are fine."""
    for name, value in call.parameters.items():
        if UNWRITABLE.search(name + value):
            code = "InvalidParameterValue" if call.service == "ec2" else "ValidationError"
            return Rejected(code, f"The value of {name!a} has characters that are not valid.", 400)
        if call.service == "ec2" and (code := _malformed(name, value)):
            return Rejected(code, f'Invalid id: "{value}" (expecting "{prefix_of(name, value)}-...")', 400)
    return None


def prefix_of(name: str, value: str) -> str:
    """Return the prefix of the ID in a parameter of EC2; empty if unknown."""
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
"""What IAM allows regardless of policies."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request of either plane: the operation, its parameters as they are sent, and where it comes from."""

    service: str
    region: str
    name: str
    parameters: Mapping[str, str]
    address: str = ""
    user_agent: str = ""

    @property
    def action(self) -> str:
        """The IAM action."""
        return f"{self.service}:{self.name}"


CALL: ContextVar[ApiCall] = ContextVar("call")
"""The request that this thread of the control plane answers."""


class Permission:
    """Evaluates the policies of users and roles.

    Args:
        state: The emulator's memory.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def denial(self, caller: AccessKey, call: ApiCall) -> Rejected | None:
        """Return the error of a call that the caller's policies do not allow, else None."""
        policies = policies_of(caller.arn)
        if policies is None or not call.name or call.action in _ALWAYS:
            return None
        context = self.context(caller, call)
        for resource in _resources(call, caller.account):
            verdict = evaluate(
                policies, call.action, resource, {**context, **_context_of(call, resource, caller.account)}
            )
            if not verdict.allowed:
                code = _CODES.get(call.service, "AccessDenied")
                return Rejected(code, _message(caller, call.action, resource, verdict.decision))
        return None

    def context(self, caller: AccessKey, call: ApiCall) -> dict[str, list[str]]:
        """Return the condition keys that every request has (IAM user guide, global condition keys).

        `aws:MultiFactorAuthPresent` exists for temporary keys only, and `aws:MultiFactorAuthAge` only where MFA was
        proved: a long-lived key does not show MFA.
        """
        now = self._state.now()
        found = {
            "aws:sourceip": [self._state.behavior.client_ip or call.address],
            "aws:principalarn": [caller.arn],
            "aws:currenttime": [now.isoformat()],
            "aws:epochtime": [str(int(now.timestamp()))],
        }
        if call.user_agent:
            found["aws:useragent"] = [call.user_agent]
        if caller.session_token:
            found["aws:multifactorauthpresent"] = [str(caller.mfa).lower()]
        if caller.mfa_at:
            found["aws:multifactorauthage"] = [str(int((now - caller.mfa_at.replace(tzinfo=UTC)).total_seconds()))]
        if ":user/" in caller.arn:
            found["aws:username"] = [caller.arn.rpartition("/")[2]]
        return found


def _context_of(call: ApiCall, resource: str | None, account: str) -> Context:
    """The condition keys that a call has on a resource."""
    found = _tags(call.region, account, (resource or "").rpartition("/")[2])
    found["aws:requestedregion"] = [call.region]
    for action, name, parameter in _KEYS:
        if action == call.action and parameter in call.parameters:
            found[name.lower()] = [call.parameters.get(parameter, "")]
    if call.action == "ec2:CreateTags" and resource:
        found |= {
            f"aws:requesttag/{call.parameters[name]}".lower(): [call.parameters.get(name.replace("Key", "Value"), "")]
            for name in call.parameters
            if re.fullmatch(r"Tag\.\d+\.Key", name)
        }
    return found


_KEYS = (
    ("ec2-instance-connect:SendSSHPublicKey", "ec2:osuser", "InstanceOSUser"),
    ("ec2-instance-connect:OpenTunnel", "ec2-instance-connect:remotePort", "remotePort"),
    ("ec2-instance-connect:OpenTunnel", "ec2-instance-connect:privateIpAddress", "privateIpAddress"),
    ("ec2-instance-connect:OpenTunnel", "ec2-instance-connect:maxTunnelDuration", "maxTunnelDuration"),
    ("iam:CreateServiceLinkedRole", "iam:awsservicename", "AWSServiceName"),
)
"""Condition keys whose values are parameters of a call: action, key, parameter."""


def _resources(call: ApiCall, account: str) -> list[str | None]:
    """The ARNs of what a call of an account works on; None if the emulator does not know them."""
    if call.name.startswith(_WITHOUT) and call.service in ("ec2", "cloudtrail", "sts"):
        return ["*"]
    if call.action == "iam:SimulatePrincipalPolicy":
        return [call.parameters.get("PolicySourceArn", "")]
    if call.service not in ("ec2", "ec2-instance-connect"):
        return [None]
    found = [
        _arn(call.region, account, _IDS[prefix][2], value)
        for key, value in call.parameters.items()
        if (prefix := prefix_of(key, value))
    ]
    if call.name == "OpenTunnel":
        endpoint_id = call.parameters.get("instanceConnectEndpointId", "")
        found = [_arn(call.region, account, "instance-connect-endpoint", endpoint_id)]
    if call.name == "CreateInstanceConnectEndpoint":
        found.append(_arn(call.region, account, "instance-connect-endpoint", "*"))
    return [*found] or [None]


_CODES = {
    "ec2": "UnauthorizedOperation",
    **dict.fromkeys(("ec2-instance-connect", "athena"), "AccessDeniedException"),
}
"""Error codes of a denial; other services use AccessDenied."""


def parse_call(headers: Mapping[str, str], body: bytes, address: str) -> ApiCall:
    """Return what a signed request in the JSON or the query protocol asks for; without a service if it is not signed.

    Args:
        headers: All headers, with names in lower case.
        body: The body.
        address: The client's address.
    """
    scope = _SCOPE.search(headers.get("authorization", ""))
    if target := headers.get("x-amz-target"):
        try:
            content = parse_json(body or b"{}")
        except ValueError:
            content = None
        name = target.rpartition(".")[2]
        parameters = {key: str(value) for key, value in content.items()} if isinstance(content, dict) else {}
    else:
        parameters = dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
        name = parameters.get("Action", "")
    region, service = scope.groups() if scope else ("", "")
    return ApiCall(service, region, name, parameters, address, headers.get("user-agent", ""))


def _tags(region: str, account: str, resource_id: str) -> dict[str, list[str]]:
    with LOCK:
        tags = dict(ec2(region, account).tags.get(resource_id, {})) if resource_id and resource_id != "*" else {}
    return {f"{prefix}:resourcetag/{key}".lower(): [value] for key, value in tags.items() for prefix in ("aws", "ec2")}


def _arn(region: str, account: str, kind: str, resource_id: str) -> str:
    return f"arn:aws:ec2:{region}:{account}:{kind}/{resource_id}"


def _message(caller: AccessKey, action: str, resource: str | None, decision: str) -> str:
    on = f" on resource: {resource}" if resource else ""
    reason = (
        "with an explicit deny in an identity-based policy"
        if decision == "explicitDeny"
        else f"because no identity-based policy allows the {action} action"
    )
    prefix = "You are not authorized to perform this operation. " if action.startswith("ec2:") else ""
    return f"{prefix}User: {caller.arn} is not authorized to perform: {action}{on} {reason}"
