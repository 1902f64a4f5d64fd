"""This machine, as the Internet sees it."""

from __future__ import annotations

import ipaddress

from eicctl.core.errors import LocalError
from eicctl.tunnel import tls

SERVICE = "https://checkip.amazonaws.com/"
"""AWS's own service that answers with the caller's address."""

TIMEOUT = 3.0


def public_address(ca_bundle: str | None) -> str | None:
    """Return this machine's public IPv4 address, or None where that cannot be found out. Proxies are used.

    Args:
        ca_bundle: CA certificates to trust (PEM file or folder), or None for the system's.
    """
    from urllib.request import urlopen

    try:
        with urlopen(SERVICE, timeout=TIMEOUT, context=tls.context(ca_bundle)) as answer:
            address = ipaddress.ip_address(answer.read(64).decode().strip())
    except (OSError, ValueError, LocalError):
        return None
    return str(address) if address.version == 4 else None
