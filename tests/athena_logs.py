"""Log files of a trail in S3, and records as no service would write them: what a query must not trip over."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from tests.trail_records import START, Record, end, key, launch, record, tunnel

ACCOUNT = "123456789012"
BUCKET = "trail"
OTHER_ENDPOINT = "eice-0aaaaaaaaaaaaaaa1"

NAMES = (
    *("dev/ann", "dev/bob", "ops/eve", "o'brien", "x' OR '1'='1", 'a"b; DROP TABLE x --', "per%cent", "under_score"),
    *(
        "jürgen",
        "İstanbul",
        "Kelvin",
        "dev/[x]",
        "back\\slash",
        "new\nline",
        "dev/a/b",
        "!bang",
        "*star",
        "🦀",
        "a" * 2_100,
    ),
)
"""Names of users, and of role sessions."""


def store(
    records: Iterable[Record],
    *,
    prefix: str = "",
    folder: str = "AWSLogs",
    account: str = ACCOUNT,
    delay: timedelta = timedelta(minutes=10),
    minutes: int = 60,
) -> list[str]:
    """Put records into the trail's bucket, as CloudTrail delivers them: a file for an hour (`minutes`) and a region.

    Returns:
        The keys of the objects.
    """
    s3 = boto3.client("s3")
    files: dict[tuple[str, datetime], list[Record]] = {}
    for one in records:
        try:
            time = datetime.fromisoformat(str(one.get("eventTime")).strip())
        except ValueError:
            time = START
        begin = int(time.timestamp()) // (60 * minutes) * 60 * minutes
        slot = datetime.fromtimestamp(begin, UTC) + timedelta(minutes=minutes) + delay
        region = one.get("awsRegion")
        files.setdefault((region if isinstance(region, str) else "us-east-1", slot), []).append(one)
    keys = []
    for number, ((region, slot), found) in enumerate(files.items()):
        path = f"{prefix}{folder}/{account}/CloudTrail/{region}/{slot:%Y/%m/%d}"
        keys.append(f"{path}/{account}_CloudTrail_{region}_{slot:%Y%m%dT%H%M}Z_{number:016}.json.gz")
        s3.put_object(Bucket=BUCKET, Key=keys[-1], Body=gzip.compress(json.dumps({"Records": found}).encode()))
    return keys


def hostile_records() -> list[Record]:
    """Three days with callers, targets and parameters of all kinds.

    Instances are launched in the first hour only: a query knows those of the whole first day, log files are skipped.
    """
    at = START
    found = [
        launch(at, "i-0db", "10.0.1.10", "db"),
        launch(at, "i-0web", "10.0.1.11", 'web\'s "1"'),
        launch(at, "i-0old", "10.0.1.12", "old-1"),
        launch(at + timedelta(minutes=30), "i-0new", "10.0.1.12", "new-1"),
        launch(at, "i-0twin", "10.0.1.13", "twin", "vpc-2"),
        launch(at, "i-0none", "10.9.9.9", "nobody-came"),
        launch(at, "i-0uni", "10.0.1.14", "grün % _ 🦀"),
        end(at + timedelta(minutes=20), "i-0old"),
        end(at + timedelta(hours=30), "i-0db"),
        {**end(at + timedelta(hours=2), "i-0web"), "errorCode": "Client.UnauthorizedOperation"},
        _launch_of(at, None),
        _launch_of(at, "text"),
        _launch_of(at, {"instanceId": "i-0", "privateIpAddress": "10.0.1.10"}),
        _launch_of(at, [None, 7, {"instanceId": 12, "privateIpAddress": "10.0.1.15", "tagSet": {"items": "none"}}]),
        _launch_of(at, [{"instanceId": "i-0half"}, {"privateIpAddress": "10.0.1.16"}]),
    ]
    created = {"CreateInstanceConnectEndpointResponse": {"instanceConnectEndpoint": _endpoint(OTHER_ENDPOINT)}}
    found.append(record("CreateInstanceConnectEndpoint", at + timedelta(hours=1), {}, responseElements=created))
    for name in ("ModifyInstanceConnectEndpoint", "DeleteInstanceConnectEndpoint"):
        asked = {f"{name}Request": {"InstanceConnectEndpointId": OTHER_ENDPOINT}}
        found.append(record(name, at + timedelta(hours=28), asked, who="ops/eve", error="Client.DryRunOperation"))
    for number, name in enumerate(NAMES):
        time = at + timedelta(hours=1 + 3 * number, minutes=7)
        address = f"10.0.1.{10 + number % 7}"
        error = ("", "AccessDeniedException", "", "ThrottlingException")[number % 4]
        found.append(tunnel(time, address, who=name, error=error, mfa=(True, False, None)[number % 3]))
        at_other = {"instanceConnectEndpointId": OTHER_ENDPOINT, "remotePort": 22, "privateIpAddress": address}
        found.append(record("OpenTunnel", time + timedelta(minutes=2), at_other, who=name, awsRegion="eu-west-1"))
        instance = ("i-0db", "i-0web", "i-0uni", "i-0nobody")[number % 4]
        found.append(key(time - timedelta(seconds=30), instance, who=name))
        found.append(key(time + timedelta(minutes=9), instance, "root", who=name, error="AuthException"))
    found += _odd(at + timedelta(hours=5))
    return found


def _launch_of(time: datetime, items: Any) -> Record:
    return {**launch(time, "", ""), "responseElements": {"instancesSet": {"items": items}}}


def _endpoint(endpoint_id: str) -> dict[str, Any]:
    return {"instanceConnectEndpointId": endpoint_id, "vpcId": "vpc-2", "subnetId": "subnet-1"}


def _odd(at: datetime) -> list[Record]:
    """Records with fields that are absent, null, or of another type or form than usual."""
    ok = tunnel(at)
    parameters = ok["requestParameters"]
    root = {"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT}
    issuer = {"sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/lost", "userName": "lost"}}
    service = {"type": "AWSService", "invokedBy": "backup.amazonaws.com"}
    changed: list[dict[str, Any]] = [
        {"userIdentity": None},
        {"userIdentity": "ann"},
        {"userIdentity": {}},
        {"userIdentity": root},
        {"userIdentity": service},
        {"userIdentity": {"type": "AssumedRole", "sessionContext": issuer}},
        {"userIdentity": {"type": "AssumedRole", "arn": "odd", "sessionContext": None}},
        {"userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/path/to/deep", "userName": None}},
        {"requestParameters": None},
        {"requestParameters": []},
        {"requestParameters": "text"},
        {"requestParameters": {"privateIpAddress": 7, "remotePort": True, "instanceId": ["i-0db"]}},
        {"requestParameters": {**parameters, "privateIpAddress": "10.0.1.10' OR 1=1 --"}},
        {"requestParameters": {**parameters, "instanceId": "i-0db"}},
        {"requestParameters": {"deep": {"INSTANCECONNECTENDPOINTID": OTHER_ENDPOINT}, "privateIpAddress": "10.0.1.13"}},
        {"requestParameters": {**parameters, "maxTunnelDuration": "ü\ud800"}},
        {"errorCode": "Client.DryRunOperation"},
        {"errorCode": "", "errorMessage": None},
        {"errorCode": "AccessDenied", "errorMessage": 'says "no", \n\\ and 🦀, '},
        {"eventTime": (at + timedelta(hours=26)).isoformat()},
        {"eventTime": f" {at + timedelta(minutes=7):%Y%m%dT%H%M%SZ} "},
        {"eventTime": "yesterday"},
        {"eventTime": None},
        {"eventName": None},
        {"eventName": ["OpenTunnel"]},
        {"eventID": None, "requestID": "r-1"},
        {"eventID": "", "requestID": None},
        {"awsRegion": None},
        {"recipientAccountId": "999999999999"},
        {"recipientAccountId": None, "sharedEventID": 7},
        {"sourceIPAddress": None, "userAgent": "=cmd|' /C calc'!A0"},
        {"userAgent": "x" * 3_000},
    ]
    return [{**ok, "eventID": str(uuid.uuid4()), **change} for change in changed]
