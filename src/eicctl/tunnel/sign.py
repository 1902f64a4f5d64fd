"""One presigned `openTunnel` URL for one connection, and the `User-Agent` that it is used with.

The URL is the first thing that a cold `eicctl proxy` needs; it is signed without botocore (`core/sigv4.py`).
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import string
from datetime import UTC, datetime
from urllib.parse import quote

from eicctl import __version__
from eicctl.core.model import Credentials, Target
from eicctl.core.sigv4 import ALGORITHM, signature

SERVICE = "ec2-instance-connect"
EXPIRES = 60
"""Seconds for which a URL is good (docs/explanation/protocol.md#data-plane)."""

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


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


def authority(dns_name: str) -> str:
    """Return the `Host` header of an endpoint's DNS name: without the port where it is 443."""
    return dns_name.removesuffix(":443").lower()


def _quote(text: str) -> str:
    return quote(text, safe="-_.~")


_ALLOWED = frozenset(string.ascii_letters + string.digits + "!$%&'*+-.^_`|~,")
_SYSTEMS = {"linux": "linux", "windows": "windows", "darwin": "macos"}


@functools.cache
def user_agent() -> str:
    """Return `eicctl/VERSION ua/2.1 os/… md/arch#… lang/python#… md/pyimpl#…`, with the execution environment and the
    application ID that AWS's variables name: formed as botocore forms its own, without importing it."""
    system, release = platform.system(), platform.release()
    parts = [_part("eicctl", __version__), "ua/2.1"]
    if family := _SYSTEMS.get(system.lower()):
        parts.append(_part("os", family, release))
    else:
        parts += ["os/other", _part("md", system, release)]
    if machine := platform.machine().lower():
        parts.append(_part("md", "arch", machine))
    parts.append(_part("lang", "python", platform.python_version()))
    parts.append(_part("md", "pyimpl", platform.python_implementation()))
    if environment := os.environ.get("AWS_EXECUTION_ENV"):
        parts.append(_part("exec-env", environment))
    if application := os.environ.get("AWS_SDK_UA_APP_ID"):
        parts.append(f"app/{_clean(application, '#')}")
    return " ".join(parts)


def _part(prefix: str, name: str, value: str = "") -> str:
    return f"{prefix}/{_clean(name)}#{_clean(value, '#')}" if value else f"{prefix}/{_clean(name)}"


def _clean(text: str, also: str = "") -> str:
    return "".join(char if char in _ALLOWED or char in also else "-" for char in text)
