"""CloudTrail: the records of tunnels, and LookupEvents over them."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from eicctl.emulator.control.backends import ACCOUNT, ApiError
from eicctl.emulator.control.credentials import Known
from eicctl.emulator.state import State

SOURCE = "ec2-instance-connect.amazonaws.com"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


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
    request_id: str,
    error: tuple[str, str] | None,
) -> None:
    """Record an OpenTunnel attempt in the form of eice-facts.md, CloudTrail. `error` is its code and message."""
    endpoint_id = parameters.get("instanceConnectEndpointId", "")
    names = ("instanceConnectEndpointId", "remotePort", "privateIpAddress", "maxTunnelDuration")
    record: dict[str, Any] = {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": caller.kind if caller else "Unknown",
            "principalId": access_key_id,
            "arn": caller.arn if caller else "",
            "accountId": ACCOUNT,
            "accessKeyId": access_key_id,
        },
        "eventTime": state.now().strftime(_TIME),
        "eventSource": SOURCE,
        "eventName": "OpenTunnel",
        "awsRegion": region,
        "sourceIPAddress": source_ip,
        "userAgent": "",
        "requestParameters": {name: parameters[name] for name in names if name in parameters},
        "responseElements": None,
        "requestID": request_id,
        "eventID": new_id(),
        "readOnly": False,
        "resources": [
            {
                "accountId": ACCOUNT,
                "type": "AWS::EC2::InstanceConnectEndpoint",
                "ARN": f"arn:aws:ec2:{region}:{ACCOUNT}:instance-connect-endpoint/{endpoint_id}",
            }
        ],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    if error:
        record["errorCode"], record["errorMessage"] = error
    state.record(record)


def lookup(
    records: Sequence[dict[str, Any]],
    *,
    attributes: Sequence[Mapping[str, str]],
    start: float | None,
    end: float | None,
    size: int,
    page: int,
) -> dict[str, Any]:
    """Answer LookupEvents: newest first, one attribute a call, `start` and `end` in seconds since 1970."""
    if len(attributes) > 1:
        raise ApiError("InvalidLookupAttributesException", "Only one lookup attribute is allowed.")
    if not 1 <= size <= 50:
        raise ApiError("InvalidMaxResultsException", "MaxResults must be between 1 and 50.")
    found = [
        event
        for event in map(_event, reversed(records))
        if all(_has(event, **attribute) for attribute in attributes)
        and (start is None or event["EventTime"].timestamp() >= float(start))
        and (end is None or event["EventTime"].timestamp() <= float(end))
    ]
    result: dict[str, Any] = {"Events": found[page : page + size]}
    if page + size < len(found):
        result["NextToken"] = base64.b64encode(str(page + size).encode()).decode()
    return result


def _event(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "EventId": record["eventID"],
        "EventName": record["eventName"],
        "ReadOnly": str(record["readOnly"]).lower(),
        "AccessKeyId": record["userIdentity"]["accessKeyId"],
        "EventTime": datetime.strptime(record["eventTime"], _TIME).replace(tzinfo=UTC),
        "EventSource": record["eventSource"],
        "Username": record["userIdentity"]["arn"].rpartition("/")[2],
        "Resources": [
            {"ResourceType": resource["type"], "ResourceName": resource["ARN"].rpartition("/")[2]}
            for resource in record["resources"]
        ],
        "CloudTrailEvent": json.dumps(record),
    }


def _has(event: dict[str, Any], **attribute: str) -> bool:
    key, value = attribute["AttributeKey"], attribute["AttributeValue"]
    if key in ("ResourceName", "ResourceType"):
        return any(resource[key] == value for resource in event["Resources"])
    return bool(event.get(key) == value)
