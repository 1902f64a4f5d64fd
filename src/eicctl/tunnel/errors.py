"""What a refusal or a close means: the boundary between the websocket and `EicctlError`.

The service documents neither most of its error bodies nor its close reasons (docs/explanation/protocol.md#data-plane),
so everything is parsed tolerantly, and what the service said is always shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from eicctl.core.errors import (
    CredentialsError,
    DeniedError,
    DurationReachedError,
    EicctlError,
    NetworkError,
    NotFoundError,
    RefusedError,
    TargetUnreachableError,
    ThrottledError,
    UnavailableError,
    UnreachableError,
)
from eicctl.core.model import Target
from eicctl.support import clock, pins
from eicctl.support.bare import parse_json
from eicctl.tunnel.sign import EXPIRES

BEHIND = EXPIRES - 5
"""Seconds by which this machine's clock may be behind: a URL is signed with its time, and good for a minute."""


TOO_MANY = "an endpoint accepts 20 connections, whoever opens them; close some, or try later"
"""The hint where there may be too many connections."""

SILENT = "no response"
"""How the reason begins where the connection was given up without an end."""

_SHOWN = 500
_RENEW = (
    "renew the session: aws sso login; a new code for an MFA session, or new keys in the profile; "
    "eicctl reads them anew for each connection"
)


def refusal(status: int, headers: Mapping[str, str], body: bytes, target: Target) -> EicctlError:
    """Return the error for a handshake that was answered with an HTTP status other than 101.

    Args:
        status: The HTTP status.
        headers: The answer's headers, with names in lower case.
        body: The answer's body; JSON with `ErrorCode` and `Message` where the service follows its own examples.
        target: Where the tunnel should have gone.
    """
    code, message = _parse(body)
    said = f"{code}: {message}" if code and message else code or message or f"HTTP {status} without a body"
    error = _access_error(status, f"{code} {message}".lower(), headers, said, target) or _other_error(
        status, code.lower(), said
    )
    error.request_id = headers.get("x-amzn-requestid")
    return error


def _parse(body: bytes) -> tuple[str, str]:
    """Return the error code and the message of a body, or an empty code and the raw text."""
    text = body.decode(errors="replace").strip()
    try:
        fields = {str(name).lower(): value for name, value in parse_json(text).items()}
    except (ValueError, AttributeError):
        return "", text[:_SHOWN]
    code = fields.get("errorcode") or fields.get("code") or fields.get("__type") or ""
    message = fields.get("message") or ("" if code else text)
    return str(code)[:_SHOWN], str(message)[:_SHOWN]


def _access_error(
    status: int, answer: str, headers: Mapping[str, str], said: str, target: Target
) -> EicctlError | None:
    """Return the error of an answer about who we are or what we may, else None."""
    if "expired" in answer:
        return CredentialsError(f"AWS refused the connection: {said}", hint=_skew(headers) or _RENEW)
    if any(word in answer for word in ("signature", "unrecognizedclient", "invalidclienttoken")):
        return CredentialsError(
            f"AWS rejected the signature: {said}",
            hint=_skew(headers) or "check the secret access key of the profile, and its session token if it has one",
        )
    if status in (401, 403):
        policy = (
            f"Missing IAM permission: ec2-instance-connect:OpenTunnel on {target.endpoint_id} for port "
            f"{target.remote_port} and address {target.address}; if the policy has a maxTunnelDuration condition, "
            "the request must have a duration that it allows"
        )
        return DeniedError(f"AWS refused the connection: {said}", hint=_skew(headers) or policy)
    return None


def _other_error(status: int, code: str, said: str) -> EicctlError:
    if status == 429 or any(word in code for word in ("throttl", "limit", "toomany")):
        # What the answer to the 21st connection says is not known (docs/explanation/protocol.md#data-plane).
        hint = "try again in a moment" if re.search(r"\brate\b", said, re.IGNORECASE) else TOO_MANY
        return ThrottledError(f"The endpoint refuses the connection for now: {said}", hint=hint, transient=True)
    if status == 404 or "notfound" in code:
        return NotFoundError(f"The endpoint does not exist: {said}", hint="eicctl list-endpoints")
    if "state" in code:
        return UnavailableError(f"The endpoint does not accept connections: {said}", hint="eicctl list-endpoints")
    if status >= 500:
        return RefusedError(f"The service failed: {said} (HTTP {status})", transient=True)
    return RefusedError(f"The service refused the connection: {said} (HTTP {status})")


def _skew(headers: Mapping[str, str]) -> str | None:
    return clock.complaint(headers.get("date", ""), behind=BEHIND)


def closing(code: int, reason: str, *, lived: float, limit: int, answered: bool, target: Target) -> EicctlError | None:
    """Return the error for a tunnel that the service closed, or None for an ordinary end.

    Args:
        code: The close code: 1000 is normal (docs/explanation/protocol.md#data-plane), 1006 stands for a connection
            that broke without one.
        reason: The close reason.
        lived: Seconds since the handshake.
        limit: The maximum duration that was asked for, in seconds.
        answered: Whether any byte came from the target.
        target: Where the tunnel went.
    """
    reason = reason[:_SHOWN]
    where = f"{target.address} port {target.remote_port}"
    if "unable to connect to target" in reason.lower():
        return _unreachable(f"The endpoint cannot reach {where} ({reason})", target)
    if lived >= limit - 1:
        return DurationReachedError(
            f"Tunnel closed: maximum duration ({limit} s) reached",
            hint="connect again; the service limits connections to 3600 s",
        )
    if code == 1006:
        if reason.startswith(SILENT):
            return NetworkError(f"The connection to the endpoint broke after {lived:.0f} s: {reason}", transient=True)
        return NetworkError(f"The connection to the endpoint broke after {lived:.0f} s", transient=True)
    if code in (1000, 1005):
        return None
    what = f"{reason} (code {code})" if reason else f"code {code}"
    note = "" if answered else " before the target sent anything"
    return UnreachableError(f"The endpoint closed the tunnel to {where}{note}: {what}")


def _unreachable(message: str, target: Target) -> TargetUnreachableError:
    error = TargetUnreachableError(
        message,
        hint=f"likely causes: the target's security group has no ingress rule for port {target.remote_port} from "
        "the endpoint's group; the endpoint's group has no egress rule to it; nothing listens on that port; "
        "a network ACL or a route between the subnets. To find out: "
        f"{pins.command('eicctl', 'doctor', target.label, *target.port_option)}",
    )
    error.address = target.address
    return error
