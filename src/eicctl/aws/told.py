"""What a request says by itself: its port, its address, and the whole target where it has all of it.

A ProxyCommand that is told everything needs nothing else of this package.
"""

from __future__ import annotations

import ipaddress
import re

from eicctl.aws.session import Session
from eicctl.errors import UsageError
from eicctl.model import DIRECT_PORTS, Target, TargetRequest

INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")


def told_in_full(session: Session, request: TargetRequest) -> Target | None:
    """Return the target if the request has the endpoint's ID, its DNS name and the address; else None."""
    if not (request.endpoint_id and request.endpoint_dns_name and request.private_ip_address):
        return None
    address = parse_address(request.private_ip_address)
    return Target(
        address=address,
        remote_port=request.remote_port,
        endpoint_id=request.endpoint_id,
        endpoint_dns_name=request.endpoint_dns_name,
        region=session.region,
        instance_id=request.instance_id or (request.words if INSTANCE_ID.fullmatch(request.words) else ""),
    )


def check_port(request: TargetRequest) -> None:
    """Refuse a port that the service does not have (eice-facts.md, Limits)."""
    port = request.remote_port
    if port in DIRECT_PORTS or request.allow_any_port:
        return
    raise UsageError(
        f"an endpoint reaches ports 22 and 3389 only, not {port}",
        hint=f"go through SSH on an instance: eicctl ssh INSTANCE -N -L {port}:HOST:{port}",
    )


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_address(text: str) -> str:
    """Return an address in its usual form.

    Raises:
        UsageError: It is none.
    """
    if not is_address(text):
        raise UsageError(f"not an IP address: {text!r}", hint="--private-ip-address takes an IPv4 or IPv6 address")
    return str(ipaddress.ip_address(text))
