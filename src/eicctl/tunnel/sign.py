"""One presigned `openTunnel` URL for one connection.

SigV4 query signing by the standard library: the URL is the first thing that a cold `eicctl proxy` needs, and
importing botocore's signer takes longer than the TLS handshake. The tests compare each signature with botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote

from eicctl.core.model import Credentials, Target

SERVICE = "ec2-instance-connect"
EXPIRES = 60
"""Seconds for which a URL is good (docs/explanation/protocol.md#data-plane)."""

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
ALGORITHM = "AWS4-HMAC-SHA256"


def presign(
    target: Target,
    credentials: Credentials,
    *,
    max_tunnel_duration: int | None = None,
    now: datetime | None = None,
) -> str:
    """Return the `wss://…/openTunnel?…` URL of one connection. It is a secret until it expires.

    Args:
        target: Where to connect to.
        credentials: Who signs.
        max_tunnel_duration: Longest life of the connection in seconds, or None to leave it to the service.
        now: The time of signing; the clock's where None.

    The parameters and the signing are those of docs/explanation/protocol.md#data-plane; the algorithm is AWS's SigV4
    for query strings, with `host` as the only signed header.
    """
    host = authority(target.endpoint_dns_name)
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{target.region}/{SERVICE}/aws4_request"
    parameters = {
        "instanceConnectEndpointId": target.endpoint_id,
        "remotePort": str(target.remote_port),
        "privateIpAddress": target.address,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(EXPIRES),
        "X-Amz-SignedHeaders": "host",
    }
    if max_tunnel_duration is not None:
        parameters["maxTunnelDuration"] = str(max_tunnel_duration)
    if credentials.session_token:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    query = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in sorted(parameters.items()))
    canonical = "\n".join(("GET", "/openTunnel", query, f"host:{host}", "", "host", _EMPTY_SHA256))
    return f"wss://{host}/openTunnel?{query}&X-Amz-Signature={signature(credentials, moment, scope, canonical)}"


def signature(credentials: Credentials, moment: str, scope: str, canonical: str) -> str:
    """Return SigV4's signature of a canonical request.

    Args:
        credentials: Who signs.
        moment: The time of signing: `20260101T000000Z`.
        scope: `DATE/REGION/SERVICE/aws4_request`.
        canonical: The canonical request.
    """
    to_sign = "\n".join((ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def authority(dns_name: str) -> str:
    """Return the `Host` header of an endpoint's DNS name: without the port where it is 443."""
    return dns_name.removesuffix(":443").lower()


def _quote(text: str) -> str:
    return quote(text, safe="-_.~")
