"""One row of the audit: an event with what has been found out about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eicctl.audit.addresses import Evidence
from eicctl.audit.records import Event


@dataclass(frozen=True, slots=True)
class Row:
    """An event and its target.

    Attributes:
        event: The record.
        instance_id: The target; empty where it is not known.
        instance_name: Its Name tag.
        evidence: How the target is known.
        endpoint_name: The endpoint's Name tag.
        os_user: The OS user that the key was for, where one was pushed.
        key_event_id: The SendSSHPublicKey event that belongs to this tunnel; it has no row of its own.
    """

    event: Event
    instance_id: str = ""
    instance_name: str = ""
    evidence: Evidence = ""
    endpoint_name: str = ""
    os_user: str = ""
    key_event_id: str = ""

    @property
    def target(self) -> str:
        """The target as people know it: name, ID or address; empty for an endpoint change."""
        return self.instance_name or self.instance_id or self.event.address

    def shown(self) -> dict[str, Any]:
        """The row with AWS's spelling: what `COLUMNS` has. Times are ISO 8601 in UTC."""
        event, principal = self.event, self.event.principal
        values = (
            iso(event.time),
            event.name,
            event.outcome,
            principal.label,
            principal.arn,
            principal.kind,
            principal.session,
            principal.access_key_id,
            principal.mfa,
            event.source_ip,
            event.user_agent,
            event.endpoint_id,
            self.endpoint_name,
            event.address,
            event.port,
            event.duration,
            self.instance_id,
            self.instance_name,
            self.evidence,
            self.os_user,
            self.key_event_id,
            event.error_code,
            event.error_message,
            event.region,
            event.id,
        )
        return dict(zip(COLUMNS, values, strict=True))


COLUMNS = (
    "EventTime",
    "EventName",
    "Outcome",
    "Principal",
    "PrincipalArn",
    "PrincipalType",
    "SessionName",
    "AccessKeyId",
    "MfaAuthenticated",
    "SourceIpAddress",
    "UserAgent",
    "InstanceConnectEndpointId",
    "EndpointName",
    "PrivateIpAddress",
    "RemotePort",
    "MaxTunnelDuration",
    "InstanceId",
    "InstanceName",
    "TargetSource",
    "InstanceOSUser",
    "KeyEventId",
    "ErrorCode",
    "ErrorMessage",
    "AwsRegion",
    "EventId",
)
"""The columns of a row, in order."""


def iso(time: datetime) -> str:
    """A time as ISO 8601 in UTC, to the second."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
