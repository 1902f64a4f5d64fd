"""CloudTrail: the records of tunnels and other calls, and LookupEvents over them."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from eicctl.emulator.control.backends import ACCOUNT, ApiError
from eicctl.emulator.control.credentials import Known
from eicctl.emulator.state import State

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

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Call:
    """A call to record. `error` is its code and message; `caller` is None where the key is not known."""

    name: str
    source: str
    region: str
    caller: Known | None
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


def record_tunnel(
    state: State,
    *,
    region: str,
    caller: Known | None,
    access_key_id: str,
    parameters: Mapping[str, str],
    source_ip: str,
    user_agent: str,
    request_id: str,
    error: tuple[str, str] | None,
) -> None:
    """Record an OpenTunnel attempt (docs/explanation/protocol.md#cloudtrail). `error` is its code and message."""
    names = ("instanceConnectEndpointId", "remotePort", "privateIpAddress", "maxTunnelDuration")
    call = Call(
        name="OpenTunnel",
        source=SOURCE,
        region=region,
        caller=caller,
        access_key_id=access_key_id,
        parameters={name: parameters[name] for name in names if name in parameters},
        source_ip=source_ip,
        user_agent=user_agent,
        request_id=request_id,
        error=error,
        endpoint_id=parameters.get("instanceConnectEndpointId", ""),
    )
    record_call(state, call)


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
    """Return a record that someone has made up, with what LookupEvents needs where it is missing."""
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
    if not state.may_look_up(region):
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
    if page + size < len(found):
        result["NextToken"] = base64.b64encode(str(page + size).encode()).decode()
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
