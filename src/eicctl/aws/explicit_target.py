"""What a request says by itself: its port, its address, and the whole target where it has all of it.

A ProxyCommand with a complete request needs nothing else from this package.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable

from eicctl.aws.session import Session
from eicctl.core.errors import NotFoundError, UsageError
from eicctl.core.model import DIRECT_PORTS, Target, usual_port
from eicctl.core.names import host_port
from eicctl.core.request import ConnectRequest
from eicctl.support import pins

INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
_DNS_NAME = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)+[A-Za-z][A-Za-z0-9-]*\.?")

Resolver = Callable[[str], list[str]]
"""Returns the addresses of a DNS name, or an empty list."""


def addresses_of(name: str) -> list[str]:
    """Return what the system's resolver says of a DNS name; an empty list where it says nothing."""
    try:
        return list(dict.fromkeys(str(row[4][0]) for row in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)))
    except (OSError, UnicodeError):
        return []


def with_address(request: ConnectRequest, resolver: Resolver = addresses_of) -> ConnectRequest:
    """Return the request with an address where it has a DNS name as `private_ip_address`, as for an RDS database.

    Raises:
        UsageError: It is neither an address nor a DNS name.
        NotFoundError: The name does not resolve from here.
    """
    text = request.private_ip_address
    if not text:
        return request
    if _DNS_NAME.fullmatch(text):
        return request.replace(private_ip_address=address_of(text, resolver))
    return request.replace(private_ip_address=parse_address(text))


def address_of(name: str, resolver: Resolver = addresses_of) -> str:
    """Return the address of a DNS name: a private one before a public one, IPv4 before IPv6.

    Raises:
        NotFoundError: The name does not resolve from here.
    """
    found = [ipaddress.ip_address(text.partition("%")[0]) for text in resolver(name)]
    if not found:
        raise NotFoundError(
            f'Cannot resolve "{name}" from this machine',
            hint="private names of a VPC resolve only inside it: specify the address, or an instance as the jump host: "
            f"{pins.command('eicctl', 'forward', '--via', 'INSTANCE', f'{name}:PORT')}",
        )
    return str(min(found, key=lambda address: (not address.is_private, address.version)))


def explicit_target(session: Session, request: ConnectRequest) -> Target | None:
    """Return the target if the request has the endpoint's ID, its DNS name and the address; else None."""
    if not (request.endpoint_id and request.endpoint_dns_name and request.private_ip_address):
        return None
    address = with_address(request).private_ip_address
    return Target(
        address=address,
        remote_port=request.remote_port or usual_port(""),
        endpoint_id=request.endpoint_id,
        endpoint_dns_name=request.endpoint_dns_name,
        region=session.region,
        instance_id=request.instance_id or (request.target if INSTANCE_ID.fullmatch(request.target) else ""),
    )


def check_named(request: ConnectRequest) -> None:
    """Refuse a request that names no target, or two."""
    if request.target and request.instance_id:
        raise UsageError(
            f'Both a target ("{request.target}") and --instance-id are specified',
            hint="specify one of them; a remote command comes after --",
        )
    if not request.label:
        raise UsageError(
            "No target specified: give an instance ID, a Name tag, a private address, or a DNS name",
            hint="eicctl instances",
        )


def check_port(request: ConnectRequest) -> None:
    """Refuse a port that the service does not have (docs/explanation/protocol.md#limits)."""
    port = request.remote_port
    if port is None or port in DIRECT_PORTS or request.allow_any_port:
        return
    name = request.target or request.instance_id or request.private_ip_address
    through_another = is_address(name) or "." in name or not name
    words = ["--via", "INSTANCE", host_port(name or "HOST", port)] if through_another else [f"{name}:{port}"]
    raise UsageError(
        f"Endpoints support only ports 22 and 3389, not {port}",
        hint=pins.command("eicctl", "forward", *words),
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
        raise UsageError(
            f"Not an IP address: {text!r}", hint="--private-ip-address takes an IPv4 or IPv6 address, or a DNS name"
        )
    return str(ipaddress.ip_address(text))
