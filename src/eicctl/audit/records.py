"""CloudTrail's records of tunnels, pushed keys and endpoint changes, as values. Pure; no I/O.

The forms are those of docs/explanation/protocol.md#cloudtrail. Fields may be absent, empty or of another type than
usual: what cannot be read is empty or None, and nothing here raises. The form of endpoint changes is not documented:
the endpoint's ID is taken from wherever in the parameters or the answer it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

TUNNEL = "OpenTunnel"
KEY = "SendSSHPublicKey"
CHANGES = ("CreateInstanceConnectEndpoint", "ModifyInstanceConnectEndpoint", "DeleteInstanceConnectEndpoint")
EVENT_NAMES = (TUNNEL, KEY, *CHANGES)
LAUNCH = "RunInstances"
END = "TerminateInstances"

LONGEST_TEXT = 2_000
"""Characters that are kept of a text; user agents and messages are as long as their writers want."""

Outcome = Literal["ok", "allowed", "denied", "failed", "dry-run"]

_ENDPOINT_ID = re.compile(r"eice-[0-9a-zA-Z]+")
_YEARS = range(2000, 2200)
"""Times outside are mistakes; CloudTrail began in 2013."""
_DENIED = (
    "AccessDenied",
    "UnauthorizedOperation",
    "AuthException",
    "AuthFailure",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "ExpiredToken",
)
"""What error codes of a policy, or for the credentials, have in them; EC2's begin with `Client.`."""


class Principal(NamedTuple):
    """Who has called.

    Attributes:
        arn: The ARN; of an assumed role, that of the session.
        kind: `IAMUser`, `AssumedRole`, `Root`, …
        name: The user's name, or the role's.
        session: The name of the role session; empty if there is none.
        access_key_id: The access key.
        mfa: Whether the session was made with MFA; None where the record does not say, as for long-lived keys.
    """

    arn: str = ""
    kind: str = ""
    name: str = ""
    session: str = ""
    access_key_id: str = ""
    mfa: bool | None = None

    @property
    def label(self) -> str:
        """How people know them: `role/session`, or the user's name."""
        parts = [part for part in (self.name, self.session) if part]
        return "/".join(parts) or self.arn or self.kind or "unknown"


class Event(NamedTuple):
    """One record. Times are in UTC; `port` and `duration` (seconds) are None where the record has no number."""

    id: str
    time: datetime
    name: str
    region: str
    principal: Principal
    source_ip: str = ""
    user_agent: str = ""
    endpoint_id: str = ""
    address: str = ""
    port: int | None = None
    duration: int | None = None
    instance_id: str = ""
    os_user: str = ""
    vpc_id: str = ""
    error_code: str = ""
    error_message: str = ""
    account_id: str = ""

    @property
    def outcome(self) -> Outcome:
        """What came of it.

        `ok`: it was done. `allowed`: the service accepted a tunnel; no record says whether it reached its target.
        `denied` by a policy or for the credentials; `failed` for another reason; `dry-run`: nothing was to be done.
        """
        if not self.error_code:
            return "allowed" if self.name == TUNNEL else "ok"
        if self.error_code.endswith("DryRunOperation"):
            return "dry-run"
        return "denied" if any(word in self.error_code for word in _DENIED) else "failed"

    @property
    def refused(self) -> bool:
        """Whether the call was refused, for any reason."""
        return self.outcome in ("denied", "failed")

    @property
    def succeeded(self) -> bool:
        """Whether the call succeeded. A dry run neither succeeds nor is refused."""
        return self.outcome in ("ok", "allowed")


class Launch(NamedTuple):
    """An instance of a RunInstances record."""

    instance_id: str
    address: str
    name: str
    vpc_id: str
    region: str
    time: datetime


class End(NamedTuple):
    """An instance of a TerminateInstances record."""

    instance_id: str
    time: datetime


def event_of(record: object) -> Event | None:
    """Return the event of a record; None for other events, and for records without a name or time."""
    if not isinstance(record, dict) or (name := record.get("eventName")) not in EVENT_NAMES:
        return None
    if not (time := time_of(record.get("eventTime"))):
        return None
    asked, answered = record.get("requestParameters"), record.get("responseElements")
    return Event(
        id=_text(record, "eventID") or _substitute_id(record, name),
        time=time,
        name=name,
        region=_text(record, "awsRegion"),
        principal=_principal(record.get("userIdentity")),
        source_ip=_text(record, "sourceIPAddress"),
        user_agent=_text(record, "userAgent"),
        endpoint_id=_endpoint_id(asked, answered),
        address=_text(asked, "privateIpAddress"),
        port=_number(asked, "remotePort"),
        duration=_number(asked, "maxTunnelDuration"),
        instance_id=_text(asked, "instanceId"),
        os_user=_text(asked, "instanceOSUser") or _text(asked, "osUser"),
        vpc_id=_found(answered, "vpcid", re.compile(r"vpc-\w+")) if name in CHANGES else "",
        error_code=_text(record, "errorCode"),
        error_message=_text(record, "errorMessage"),
        account_id=_text(record, "recipientAccountId"),
    )


def launches_of(record: object) -> Iterator[Launch]:
    """The instances that a RunInstances record has started."""
    if not isinstance(record, dict) or record.get("eventName") != LAUNCH:
        return
    time, answered = time_of(record.get("eventTime")), record.get("responseElements")
    for item in _items(answered, "instancesSet"):
        instance_id, address = _text(item, "instanceId"), _text(item, "privateIpAddress")
        if time and instance_id and address:
            tags = {_text(tag, "key"): _text(tag, "value") for tag in _items(item, "tagSet")}
            where = _text(record, "awsRegion")
            yield Launch(instance_id, address, tags.get("Name", ""), _text(item, "vpcId"), where, time)


def ends_of(record: object) -> Iterator[End]:
    """The instances that a TerminateInstances record has ended."""
    if not isinstance(record, dict) or record.get("eventName") != END or record.get("errorCode"):
        return
    time = time_of(record.get("eventTime"))
    for item in _items(record.get("requestParameters"), "instancesSet"):
        if time and (instance_id := _text(item, "instanceId")):
            yield End(instance_id, time)


def time_of(value: object) -> datetime | None:
    """Return the time of a record's text, in UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        time = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time if time.year in _YEARS else None


def _principal(identity: object) -> Principal:
    if not isinstance(identity, dict):
        return Principal()
    context = identity.get("sessionContext")
    issuer = context.get("sessionIssuer") if isinstance(context, dict) else None
    attributes = context.get("attributes") if isinstance(context, dict) else None
    arn, kind = _text(identity, "arn"), _text(identity, "type")
    parts = arn.rpartition(":")[2].split("/")
    assumed = kind == "AssumedRole" or parts[0] == "assumed-role"
    name = _text(identity, "userName") or _text(issuer, "userName")
    if not name and len(parts) > 1:
        name = parts[1] if assumed else parts[-1]
    return Principal(
        arn=arn or _text(issuer, "arn") or _text(identity, "invokedBy"),
        kind=kind,
        name=name or ("root" if kind == "Root" else _text(identity, "invokedBy")),
        session="/".join(parts[2:]) if assumed else "",
        access_key_id=_text(identity, "accessKeyId"),
        mfa={"true": True, "false": False}.get(_text(attributes, "mfaAuthenticated").lower()),
    )


def _text(where: object, key: str) -> str:
    value = where.get(key) if isinstance(where, dict) else None
    if isinstance(value, str) and value.isascii():  # nearly all of them
        return value[:LONGEST_TEXT]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    try:
        # Half of a surrogate pair, which JSON can hold, cannot be written anywhere.
        return str(value)[:LONGEST_TEXT].encode("utf-8", "replace").decode()
    except ValueError:  # a number of thousands of digits
        return ""


def _number(where: object, key: str) -> int | None:
    text = _text(where, key)
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else None


def _items(where: object, key: str) -> list[object]:
    """The items of a set, as EC2's records have them: `{"items": […]}`."""
    found = where.get(key) if isinstance(where, dict) else None
    items = found.get("items") if isinstance(found, dict) else None
    return items if isinstance(items, list) else []


def _endpoint_id(*parts: object) -> str:
    for part in parts:
        if found := _found(part, "instanceconnectendpointid", _ENDPOINT_ID):
            return found
    return ""


def _found(where: object, key: str, form: re.Pattern[str], depth: int = 4) -> str:
    """The text of this form under a key, whatever its case and however deep (to a limit) it is."""
    if not isinstance(where, dict) or not depth:
        return ""
    for name, value in where.items():
        if str(name).lower() == key and isinstance(value, str) and form.fullmatch(value):
            return value
    for value in where.values():
        if found := _found(value, key, form, depth - 1):
            return found
    return ""


def _substitute_id(record: dict[str, Any], name: str) -> str:
    """An ID for a record without one, the same each time that it is read."""
    return "-".join([name, _text(record, "eventTime"), _text(record, "requestID"), _text(record, "sourceIPAddress")])
