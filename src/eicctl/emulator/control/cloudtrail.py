"""CloudTrail: records of tunnels, pushed keys and endpoint changes (refused ones included), and LookupEvents.

The form of SendSSHPublicKey is that of real records. For endpoint changes no example is known: the parameters and the
answer are wrapped as in the records of CreateVpcEndpoint, and error codes begin with `Client.` as EC2's do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.exceptions import ServiceException

from eicctl.emulator.control.backends import ACCOUNT, Action, ActionResult, ApiError, page_token
from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.permission import ApiCall, Origin
from eicctl.emulator.signature import AccessKey, Rejected
from eicctl.emulator.state import State

Details = Callable[[Any], dict[str, Any]]


ORIGIN: ContextVar[Origin] = ContextVar("origin")
"""Where the request comes from that this thread answers."""


def recorded(state: State, name: str, source: str, action: Action, asked: Details) -> Action:
    """Return an action that is recorded, whether it succeeds or not.

    Args:
        state: The emulator's memory.
        name: The operation.
        source: The service, as `eventSource`.
        action: What does it.
        asked: Returns the `requestParameters` of moto's response object.
    """

    def recording(response: Any) -> Any:
        answer: ActionResult | None = None
        error: tuple[str, str] | None = None
        try:
            answer = action(response)
            return answer
        except ServiceException as refused:
            error = (_code(str(refused.code), source), str(refused.message))
            raise
        finally:
            origin = ORIGIN.get()
            record_call(
                state,
                Call(
                    name=name,
                    source=source,
                    region=response.region,
                    caller=CALLER.get(),
                    parameters=asked(response),
                    answer=_answer(name, source, answer),
                    source_ip=state.behavior.client_ip or origin.address,
                    user_agent=origin.user_agent,
                    error=error,
                ),
            )

    return recording


def key_parameters(response: Any) -> dict[str, Any]:
    """The parameters of SendSSHPublicKey."""
    return {
        "instanceId": response._get_param("InstanceId", ""),
        "instanceOSUser": response._get_param("InstanceOSUser", ""),
        "sSHPublicKey": response._get_param("SSHPublicKey", ""),
    }


def endpoint_parameters(name: str) -> Details:
    """Return a function that reads the parameters of an endpoint's operation."""
    known = ("InstanceConnectEndpointId", "SubnetId", "PreserveClientIp", "IpAddressType", "ClientToken", "DryRun")

    def parameters(response: Any) -> dict[str, Any]:
        given = {key: value for key in known if (value := response._get_param(key)) is not None}
        if groups := response._get_param("SecurityGroupIds", []):
            given["SecurityGroupId"] = list(groups)
        return {f"{name}Request": given}

    return parameters


def record_denial(state: State, asked: ApiCall, caller: AccessKey, origin: Origin, denial: Rejected) -> None:
    """Record a call that the caller's policies do not allow, if it is one that leaves a record."""
    details: Callable[[Any], dict[str, Any]]
    if asked.service == "ec2-instance-connect" and asked.name == "SendSSHPublicKey":
        source, details = SOURCE, key_parameters
    elif asked.service == "ec2" and asked.name in _CHANGES:
        source, details = EC2, endpoint_parameters(asked.name)
    else:
        return
    call = Call(
        name=asked.name,
        source=source,
        region=asked.region,
        caller=caller,
        parameters=details(_Sent(asked.parameters)),
        source_ip=state.behavior.client_ip or origin.address,
        user_agent=origin.user_agent,
        error=(_code(denial.code, source), denial.message),
    )
    record_call(state, call)


_CHANGES = ("CreateInstanceConnectEndpoint", "ModifyInstanceConnectEndpoint", "DeleteInstanceConnectEndpoint")


@dataclass(frozen=True, slots=True)
class _Sent:
    """The parameters of a call that moto does not get to see, read as moto's response objects let them be read."""

    parameters: Mapping[str, str]

    def _get_param(self, name: str, default: Any = None) -> Any:
        if isinstance(default, list):  # a list of the query protocol: SecurityGroupId.1, …
            start = f"{name.removesuffix('s')}."
            return [value for key, value in self.parameters.items() if key.startswith(start)]
        value = self.parameters.get(name, default)
        return {"true": True, "false": False}.get(value, value)


def _code(code: str, source: str) -> str:
    return f"Client.{code}" if source == EC2 else code


def _answer(name: str, source: str, answer: ActionResult | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {f"{name}Response": _camel(answer.result)} if source == EC2 else _camel(answer.result)


def _camel(value: Any) -> Any:
    """The answer with names as records have them: `instanceConnectEndpoint`."""
    if isinstance(value, Mapping):
        return {key[0].lower() + key[1:]: _camel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_camel(item) for item in value]
    return value if isinstance(value, (bool, int)) or value is None else str(value)


SOURCE = "ec2-instance-connect.amazonaws.com"
EC2 = "ec2.amazonaws.com"
KEPT = timedelta(days=90)
"""How far back LookupEvents sees (docs/explanation/protocol.md#cloudtrail)."""

LOOKUP_KEYS = (
    "EventId",
    "EventName",
    "ReadOnly",
    "Username",
    "ResourceType",
    "ResourceName",
    "EventSource",
    "AccessKeyId",
)
"""What LookupEvents can look for (the service's model, LookupAttributeKey)."""

TUNNEL_PARAMETERS = ("instanceConnectEndpointId", "remotePort", "privateIpAddress", "maxTunnelDuration")
"""The parameters of OpenTunnel that a record has (docs/explanation/protocol.md#cloudtrail)."""

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Call:
    """A call to record. `error` is its code and message; `caller` is None where the key is not known."""

    name: str
    source: str
    region: str
    caller: AccessKey | None
    parameters: Mapping[str, Any]
    source_ip: str
    user_agent: str = ""
    answer: Mapping[str, Any] | None = None
    access_key_id: str = ""
    request_id: str = ""
    error: tuple[str, str] | None = None
    endpoint_id: str = ""


def new_id() -> str:
    """A request or event ID."""
    return str(uuid.uuid4())


def record_call(state: State, call: Call) -> None:
    """Record a call of the API."""
    record: dict[str, Any] = {
        "eventVersion": "1.08",
        "userIdentity": _identity(call),
        "eventTime": state.now().strftime(_TIME),
        "eventSource": call.source,
        "eventName": call.name,
        "awsRegion": call.region,
        "sourceIPAddress": call.source_ip,
        "userAgent": call.user_agent,
        "requestParameters": dict(call.parameters),
        "responseElements": dict(call.answer) if call.answer else None,
        "requestID": call.request_id or new_id(),
        "eventID": new_id(),
        "readOnly": False,
        "resources": [
            {
                "accountId": ACCOUNT,
                "type": "AWS::EC2::InstanceConnectEndpoint",
                "ARN": f"arn:aws:ec2:{call.region}:{ACCOUNT}:instance-connect-endpoint/{call.endpoint_id}",
            }
        ]
        if call.endpoint_id
        else [],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    if call.error:
        record["errorCode"], record["errorMessage"] = call.error
    state.record(record)


def _identity(call: Call) -> dict[str, Any]:
    """Who has called. Only sessions have a `sessionContext`: nobody knows of a long-lived key whether MFA was used."""
    caller = call.caller
    key = caller.access_key_id if caller else call.access_key_id
    if caller is None:
        return {"type": "Unknown", "principalId": key, "arn": "", "accountId": ACCOUNT, "accessKeyId": key}
    name = caller.arn.rpartition("/")[2]
    found: dict[str, Any] = {
        "type": caller.kind,
        "principalId": caller.user_id or key,
        "arn": caller.arn,
        "accountId": ACCOUNT,
        "accessKeyId": key,
    }
    if caller.kind == "IAMUser":
        found["userName"] = name
    if caller.session_token:
        context: dict[str, Any] = {"attributes": {"mfaAuthenticated": str(caller.mfa).lower()}}
        if caller.kind == "AssumedRole":
            role = caller.arn.split("/")[1]
            context["sessionIssuer"] = {
                "type": "Role",
                "principalId": caller.user_id.partition(":")[0],
                "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}",
                "accountId": ACCOUNT,
                "userName": role,
            }
        found["sessionContext"] = context
    return found


def completed(record: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return a custom record, completed with the fields that LookupEvents needs."""
    defaults = {
        "eventVersion": "1.08",
        "userIdentity": {},
        "eventTime": now.strftime(_TIME),
        "eventSource": SOURCE,
        "eventName": "OpenTunnel",
        "awsRegion": "us-east-1",
        "eventID": new_id(),
        "readOnly": False,
        "resources": [],
    }
    found = {**defaults, **record}
    datetime.strptime(found["eventTime"], _TIME)  # a ValueError says that it is not in this form
    return found


def lookup(
    state: State,
    region: str,
    *,
    attributes: Sequence[Mapping[str, str]],
    start: float | None,
    end: float | None,
    size: int,
    page: int,
) -> dict[str, Any]:
    """Answer LookupEvents: newest first, one attribute a call, `start` and `end` in seconds since 1970."""
    if not state.allow_lookup(region):
        raise ApiError("ThrottlingException", "Rate exceeded")
    if len(attributes) > 1:
        raise ApiError("InvalidLookupAttributesException", "Only one lookup attribute is allowed.")
    for attribute in attributes:
        if attribute.get("AttributeKey") not in LOOKUP_KEYS or not attribute.get("AttributeValue"):
            raise ApiError("InvalidLookupAttributesException", "The lookup attribute is not valid.")
    if not 1 <= size <= 50:
        raise ApiError("InvalidMaxResultsException", "MaxResults must be between 1 and 50.")
    if start is not None and end is not None and float(start) > float(end):
        raise ApiError("InvalidTimeRangeException", "The start time is after the end time.")
    first = max(float(start or 0), (state.now() - KEPT).timestamp())
    found = [
        event
        for event in map(_event, state.events())
        if event["AwsRegion"] == region
        and all(_has(event, **attribute) for attribute in attributes)
        and event["EventTime"].timestamp() >= first
        and (end is None or event["EventTime"].timestamp() <= float(end))
    ]
    found.sort(key=lambda event: event["EventTime"], reverse=True)
    shown = [{key: value for key, value in event.items() if key != "AwsRegion"} for event in found]
    result: dict[str, Any] = {"Events": shown[page : page + size]}
    if token := page_token(page + size, len(found)):
        result["NextToken"] = token
    return result


def _event(record: dict[str, Any]) -> dict[str, Any]:
    identity = record["userIdentity"] if isinstance(record["userIdentity"], dict) else {}
    return {
        "EventId": record["eventID"],
        "EventName": record["eventName"],
        "ReadOnly": str(record["readOnly"]).lower(),
        "AccessKeyId": identity.get("accessKeyId", ""),
        "EventTime": datetime.strptime(record["eventTime"], _TIME).replace(tzinfo=UTC),
        "EventSource": record["eventSource"],
        "Username": identity.get("arn", "").rpartition("/")[2],
        "Resources": [
            {"ResourceType": resource["type"], "ResourceName": resource["ARN"].rpartition("/")[2]}
            for resource in record["resources"]
        ],
        "CloudTrailEvent": json.dumps(record),
        "AwsRegion": record["awsRegion"],
    }


def _has(event: dict[str, Any], **attribute: str) -> bool:
    key, value = attribute["AttributeKey"], attribute["AttributeValue"]
    if key in ("ResourceName", "ResourceType"):
        return any(resource[key] == value for resource in event["Resources"])
    return bool(event.get(key) == value)
