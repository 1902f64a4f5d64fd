"""One row of the audit: an event with what has been found out about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eicctl.access.audit.directory import Evidence
from eicctl.access.audit.records import Event


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
        """The row with AWS's spelling, in the order of its columns. Times are ISO 8601 in UTC."""
        event, principal = self.event, self.event.principal
        return {
            "EventTime": iso(event.time),
            "EventName": event.name,
            "Outcome": event.outcome,
            "Principal": principal.label,
            "PrincipalArn": principal.arn,
            "PrincipalType": principal.kind,
            "SessionName": principal.session,
            "AccessKeyId": principal.access_key_id,
            "MfaAuthenticated": principal.mfa,
            "SourceIpAddress": event.source_ip,
            "UserAgent": event.user_agent,
            "InstanceConnectEndpointId": event.endpoint_id,
            "EndpointName": self.endpoint_name,
            "PrivateIpAddress": event.address,
            "RemotePort": event.port,
            "MaxTunnelDuration": event.duration,
            "InstanceId": self.instance_id,
            "InstanceName": self.instance_name,
            "TargetEvidence": self.evidence,
            "InstanceOSUser": self.os_user,
            "KeyEventId": self.key_event_id,
            "ErrorCode": event.error_code,
            "ErrorMessage": event.error_message,
            "AwsRegion": event.region,
            "EventId": event.id,
        }


def iso(time: datetime) -> str:
    """A time as ISO 8601 in UTC, to the second."""
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
