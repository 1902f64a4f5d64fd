"""Which endpoint serves a target: decisions without I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from eicctl.errors import NotFoundError, UnavailableError
from eicctl.model import Endpoint


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target is. `subnet_id` and `availability_zone` are empty where they are not known."""

    label: str
    vpc_id: str
    subnet_id: str = ""
    availability_zone: str = ""


def serves(endpoint: Endpoint, address: str) -> bool:
    """Whether an endpoint's address type suits an address: `ipv4`, `ipv6`, or both with `dualstack`."""
    version = ipaddress.ip_address(address).version
    return endpoint.ip_address_type in ("dualstack", f"ipv{version}")


def choose_endpoint(endpoints: Sequence[Endpoint], place: Place, address: str) -> Endpoint:
    """Return the endpoint for a target: one in its subnet, else in its Availability Zone, else in its VPC.

    Raises:
        NotFoundError: The VPC has none.
        UnavailableError: It has some, but none is usable, or none is for the address's family.
    """
    in_vpc = [endpoint for endpoint in endpoints if endpoint.vpc_id == place.vpc_id]
    alive = [endpoint for endpoint in in_vpc if not endpoint.state.startswith("delete-complete")]
    if not alive:
        raise NotFoundError(
            f"there is no endpoint in {place.vpc_id}, where {place.label} is",
            hint="make one: eicctl create-endpoint "
            + (f"--subnet-id {place.subnet_id}" if place.subnet_id else f"--vpc-id {place.vpc_id}"),
        )
    usable = [endpoint for endpoint in alive if endpoint.usable]
    if not usable:
        states = ", ".join(f"{endpoint.id} is {_told(endpoint)}" for endpoint in alive)
        raise UnavailableError(
            f"no endpoint in {place.vpc_id} serves connections now: {states}",
            hint=_wait_hint(alive),
            transient=any(endpoint.state == "create-in-progress" for endpoint in alive),
        )
    fitting = [endpoint for endpoint in usable if serves(endpoint, address)]
    if not fitting:
        kinds = ", ".join(f"{endpoint.id} is {endpoint.ip_address_type}" for endpoint in usable)
        raise UnavailableError(
            f"no endpoint in {place.vpc_id} serves the address {address}: {kinds}",
            hint=f"eicctl modify-endpoint {usable[0].id} --ip-address-type dualstack",
        )
    return min(fitting, key=lambda endpoint: (_distance(endpoint, place), endpoint.id))


def _distance(endpoint: Endpoint, place: Place) -> int:
    if endpoint.subnet_id == place.subnet_id:
        return 0
    return 1 if endpoint.availability_zone == place.availability_zone else 2


def _told(endpoint: Endpoint) -> str:
    return f"{endpoint.state} ({endpoint.state_message})" if endpoint.state_message else endpoint.state


def _wait_hint(endpoints: Sequence[Endpoint]) -> str:
    if any(endpoint.state == "create-in-progress" for endpoint in endpoints):
        return "it is being made, which takes minutes: eicctl show-endpoint tells when it is ready"
    return "eicctl list-endpoints shows all; a failed one can be deleted and made again"


def usable_name(endpoint: Endpoint, *, fips: bool, dualstack: bool = False) -> str:
    """Return the DNS name to connect to; without `dualstack` that of IPv4 where there is one.

    Raises:
        UnavailableError: FIPS or dual-stack is asked for, and the endpoint has no such name.
    """
    name = endpoint.dualstack_fips_dns_name if fips else endpoint.dualstack_dns_name
    if not dualstack:
        name = (endpoint.fips_dns_name if fips else endpoint.dns_name) or name
    if name:
        return name
    words = [*(["dual-stack"] if dualstack else []), *(["FIPS"] if fips else []), "DNS name"]
    hints = [f"eicctl modify-endpoint {endpoint.id} --ip-address-type dualstack"] if dualstack else []
    hints += ["export AWS_USE_FIPS_ENDPOINT=false, without --fips"] if fips else []
    raise UnavailableError(f"endpoint {endpoint.id} has no {' '.join(words)}", hint="; ".join(hints) or None)
