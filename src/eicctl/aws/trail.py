"""What CloudTrail has recorded of tunnels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eicctl.aws.failures import translated
from eicctl.aws.session import Session


@dataclass(frozen=True, slots=True)
class TunnelEvent:
    """An OpenTunnel record (eice-facts.md, CloudTrail). `error` is empty where the tunnel was let through."""

    time: datetime
    caller: str
    source_ip: str
    endpoint_id: str
    address: str
    port: str
    error: str


def tunnel_events(session: Session) -> list[TunnelEvent]:
    """Return the OpenTunnel records that LookupEvents has (90 days), oldest first."""
    attributes = [{"AttributeKey": "EventName", "AttributeValue": "OpenTunnel"}]
    with translated("look up CloudTrail events"):
        pages = session.client("cloudtrail").get_paginator("lookup_events").paginate(LookupAttributes=attributes)
        rows = [row for page in pages for row in page["Events"]]
    return [_event(row) for row in reversed(rows)]


def _event(row: dict[str, Any]) -> TunnelEvent:
    record = json.loads(row["CloudTrailEvent"])
    parameters = record.get("requestParameters") or {}
    return TunnelEvent(
        time=row["EventTime"],
        caller=record.get("userIdentity", {}).get("arn", ""),
        source_ip=record.get("sourceIPAddress", ""),
        endpoint_id=parameters.get("instanceConnectEndpointId", ""),
        address=parameters.get("privateIpAddress", ""),
        port=parameters.get("remotePort", ""),
        error=record.get("errorCode", ""),
    )
