"""CloudTrail records, made up: the forms are those of docs/explanation/protocol.md#cloudtrail, and of the emulator."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
"""A Monday morning."""

ENDPOINT = "eice-0123456789abcdef0"
Record = dict[str, Any]


def record(name: str, time: datetime, parameters: Record, **more: Any) -> Record:
    """A record; `who` is `role/session` or a user's name, `mfa` what its session says, `error` a code."""
    who, mfa, error = more.pop("who", "dev/ann"), more.pop("mfa", True), more.pop("error", "")
    found: Record = {
        "eventVersion": "1.08",
        "userIdentity": identity(who, mfa),
        "eventTime": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "ec2-instance-connect.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "eicctl/0.1.0",
        "requestParameters": parameters,
        "responseElements": None,
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "resources": [],
    }
    if error:
        found |= {"errorCode": error, "errorMessage": "not authorized to perform this"}
    return found | more


def identity(who: str, mfa: bool | None) -> Record:
    """The `userIdentity` of a role session or a user."""
    role, _, session = who.partition("/")
    account = "123456789012"
    found: Record = {"accountId": account, "accessKeyId": f"ASIA{role.upper()}"}
    if session:
        arn = f"arn:aws:sts::{account}:assumed-role/{role}/{session}"
        found |= {"type": "AssumedRole", "arn": arn, "principalId": f"AROA:{session}"}
    else:
        found |= {"type": "IAMUser", "arn": f"arn:aws:iam::{account}:user/{role}", "userName": role}
    if mfa is not None:
        found["sessionContext"] = {"attributes": {"mfaAuthenticated": str(mfa).lower()}}
    return found


def tunnel(time: datetime, address: str = "10.0.1.10", port: str = "22", **more: Any) -> Record:
    """An OpenTunnel record; `duration` is the one asked for."""
    parameters = {"instanceConnectEndpointId": ENDPOINT, "remotePort": port, "privateIpAddress": address}
    if duration := more.pop("duration", ""):
        parameters["maxTunnelDuration"] = duration
    return record("OpenTunnel", time, parameters, **more)


def key(time: datetime, instance_id: str, os_user: str = "ec2-user", **more: Any) -> Record:
    """A SendSSHPublicKey record."""
    parameters = {"instanceId": instance_id, "instanceOSUser": os_user, "sSHPublicKey": "ssh-ed25519 AAAA"}
    return record("SendSSHPublicKey", time, parameters, **more)


def launch(time: datetime, instance_id: str, address: str, name: str = "", vpc: str = "vpc-1") -> Record:
    """A RunInstances record."""
    tags = {"items": [{"key": "Name", "value": name}]}
    item = {"instanceId": instance_id, "privateIpAddress": address, "vpcId": vpc, "tagSet": tags}
    more = {"eventSource": "ec2.amazonaws.com", "responseElements": {"instancesSet": {"items": [item]}}}
    return record("RunInstances", time, {}, **more)


def end(time: datetime, instance_id: str) -> Record:
    """A TerminateInstances record."""
    return record("TerminateInstances", time, {"instancesSet": {"items": [{"instanceId": instance_id}]}})


def write_log(path: Path, records: Iterable[Record]) -> Path:
    """Write a log file, gzipped where its name says so."""
    text = json.dumps({"Records": list(records)}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
