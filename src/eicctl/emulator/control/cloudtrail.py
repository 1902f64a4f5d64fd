"""CloudTrail: records of tunnels, pushed keys and endpoint changes (refused ones included), and LookupEvents.

The form of SendSSHPublicKey is that of real records. For endpoint changes no example is known: the parameters and the
answer are wrapped as in the records of CreateVpcEndpoint, and error codes begin with `Client.` as EC2's do.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.exceptions import ServiceException

from eicctl.emulator.control.backends import ACCOUNT, Action, ApiError, page_of
from eicctl.emulator.control.credentials import CALLER
from eicctl.emulator.control.permission import CALL, ApiCall
from eicctl.emulator.signature import AccessKey
from eicctl.emulator.state import State

KEPT = timedelta(days=90)
"""How far back LookupEvents sees (docs/explanation/protocol.md#cloudtrail)."""

LOOKUP_KEYS = (
    *("EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId"),
)
"""What LookupEvents can look for (the service's model, LookupAttributeKey)."""

_TUNNEL_PARAMETERS = ("instanceConnectEndpointId", "remotePort", "privateIpAddress", "maxTunnelDuration")
"""The parameters of OpenTunnel that a record has (docs/explanation/protocol.md#cloudtrail)."""

_ENDPOINT_PARAMETERS = (
    *("InstanceConnectEndpointId", "SubnetId", "PreserveClientIp", "IpAddressType", "ClientToken", "DryRun"),
)

RECORDED = (
    *("OpenTunnel", "SendSSHPublicKey"),
    *("CreateInstanceConnectEndpoint", "ModifyInstanceConnectEndpoint", "DeleteInstanceConnectEndpoint"),
)
"""The operations that are recorded."""

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def new_id() -> str:
    """A request or event ID."""
    return str(uuid.uuid4())


def recorded(state: State, action: Action) -> Action:
    """Return an action of moto that is recorded, whether it succeeds or not."""

    def recording(response: Any) -> Any:
        answer: dict[str, Any] | None = None
        error: tuple[str, str] | None = None
        try:
            result = action(response)
            answer = result.result
            return result
        except ServiceException as refused:
            error = (str(refused.code), str(refused.message))
            raise
        finally:
            record_call(state, CALL.get(), CALLER.get(), answer=answer, error=error)

    return recording


def _request_parameters(call: ApiCall) -> dict[str, Any]:
    """The `requestParameters` of a call's record."""
    given = call.parameters
    if call.name == "OpenTunnel":
        return {name: given[name] for name in _TUNNEL_PARAMETERS if name in given}
    if call.name == "SendSSHPublicKey":
        names = ("InstanceId", "InstanceOSUser", "SSHPublicKey")
        return {_lower_first(name): given.get(name, "") for name in names}
    found: dict[str, Any] = {
        name: {"true": True, "false": False}.get(given[name], given[name])
        for name in _ENDPOINT_PARAMETERS
        if name in given
    }
    if groups := [value for name, value in given.items() if name.startswith("SecurityGroupId.")]:
        found["SecurityGroupId"] = groups
    return {f"{call.name}Request": found}


def _lower_first(name: str) -> str:
    return name[0].lower() + name[1:]


def _camel(value: Any) -> Any:
    """The answer with names as records have them: `instanceConnectEndpoint`."""
    if isinstance(value, Mapping):
        return {_lower_first(key): _camel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_camel(item) for item in value]
    return value if isinstance(value, (bool, int)) or value is None else str(value)


def record_call(
    state: State,
    call: ApiCall,
    caller: AccessKey | None,
    *,
    answer: Mapping[str, Any] | None = None,
    error: tuple[str, str] | None = None,
    access_key_id: str = "",
    request_id: str = "",
) -> None:
    """Record a call of the API.

    Args:
        state: The emulator's memory.
        call: The call.
        caller: Who called; None if the key is not known.
        answer: What was answered, as botocore's model has it.
        error: The code and the message of an error.
        access_key_id: The key that the call claims to be signed with.
        request_id: The request's ID; a new one if empty.
    """
    of_ec2 = call.service == "ec2"
    elements = _camel(answer) if answer else None
    account = caller.account if caller else ACCOUNT
    arn = f"arn:aws:ec2:{call.region}:{account}:instance-connect-endpoint/"
    endpoint_id = call.parameters.get("instanceConnectEndpointId")  # only OpenTunnel's records have resources
    resource = {"accountId": account, "type": "AWS::EC2::InstanceConnectEndpoint", "ARN": f"{arn}{endpoint_id}"}
    record: dict[str, Any] = {
        "eventVersion": "1.08",
        "userIdentity": _identity(caller, access_key_id),
        "eventTime": state.now().strftime(_TIME),
        "eventSource": f"{call.service}.amazonaws.com",
        "eventName": call.name,
        "awsRegion": call.region,
        "sourceIPAddress": state.behavior.client_ip or call.address,
        "userAgent": call.user_agent,
        "requestParameters": _request_parameters(call),
        "responseElements": {f"{call.name}Response": elements} if elements and of_ec2 else elements,
        "requestID": request_id or new_id(),
        "eventID": new_id(),
        "readOnly": False,
        "resources": [resource] if endpoint_id else [],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }
    if error:
        record["errorCode"], record["errorMessage"] = f"Client.{error[0]}" if of_ec2 else error[0], error[1]
    state.record(record)


def _identity(caller: AccessKey | None, access_key_id: str) -> dict[str, Any]:
    """Who called. Only sessions have a `sessionContext`: nobody knows of a long-lived key whether MFA was used."""
    key = caller.access_key_id if caller else access_key_id
    account = caller.account if caller else ACCOUNT
    common = {"accountId": account, "accessKeyId": key}
    if caller is None:
        return {"type": "Unknown", "principalId": key, "arn": "", **common}
    found: dict[str, Any] = {"type": caller.kind, "principalId": caller.user_id or key, "arn": caller.arn, **common}
    if caller.kind == "IAMUser":
        found["userName"] = caller.arn.rpartition("/")[2]
    if caller.session_token:
        context: dict[str, Any] = {"attributes": {"mfaAuthenticated": str(caller.mfa).lower()}}
        if caller.kind == "AssumedRole":
            role = caller.arn.split("/")[1]
            context["sessionIssuer"] = {
                "type": "Role",
                "principalId": caller.user_id.partition(":")[0],
                "arn": f"arn:aws:iam::{account}:role/{role}",
                "accountId": account,
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
        "eventSource": "ec2-instance-connect.amazonaws.com",
        "eventName": "OpenTunnel",
        "awsRegion": "us-east-1",
        "eventID": new_id(),
        "readOnly": False,
        "resources": [],
    }
    found = {**defaults, **record}
    datetime.strptime(found["eventTime"], _TIME)  # a ValueError if it does not have this form
    return found


def lookup(
    state: State,
    region: str,
    account: str,
    *,
    attributes: Sequence[Mapping[str, str]],
    start: float | None,
    end: float | None,
    size: int,
    token: str | None,
) -> dict[str, Any]:
    """Answer LookupEvents: newest first, one attribute a call, `start` and `end` in seconds since 1970."""
    if not state.allow_lookup(region, account):
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
        if (event["AwsRegion"], event["Account"]) == (region, account)
        and all(_has(event, **attribute) for attribute in attributes)
        and event["EventTime"].timestamp() >= first
        and (end is None or event["EventTime"].timestamp() <= float(end))
    ]
    found.sort(key=lambda event: event["EventTime"], reverse=True)
    page, more = page_of(found, token, size)
    shown = [{key: value for key, value in event.items() if key not in ("AwsRegion", "Account")} for event in page]
    return {"Events": shown, **more}


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
        "Account": record.get("recipientAccountId", ACCOUNT),
    }


def _has(event: dict[str, Any], **attribute: str) -> bool:
    key, value = attribute["AttributeKey"], attribute["AttributeValue"]
    if key in ("ResourceName", "ResourceType"):
        return any(resource[key] == value for resource in event["Resources"])
    return bool(event.get(key) == value)
