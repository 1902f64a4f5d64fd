"""Selects the endpoint for a target, and distributes many targets over several endpoints. No I/O."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from eicctl.core.errors import NotFoundError, UnavailableError
from eicctl.core.model import Endpoint, Instance
from eicctl.support import pins

Assignment = tuple[Instance, Endpoint | None]


def spread(instances: Sequence[Instance], endpoints: Sequence[Endpoint], limit: int) -> list[Assignment]:
    """Return an endpoint for each instance, or None if its VPC has none that serves it.

    An instance gets the endpoint of its own subnet until that one has `limit` instances, then, and where there is none,
    the one of its VPC that has the fewest. The order alternates between endpoints, so that all are busy from the start.
    """
    load: Counter[str] = Counter()
    assigned: list[Assignment] = []
    for instance in instances:
        address = instance.private_ip or instance.ipv6
        able = [e for e in endpoints if e.vpc_id == instance.vpc_id and e.usable and address and serves(e, address)]
        near = [e for e in able if e.subnet_id == instance.subnet_id and load[e.id] < limit]
        chosen = min(near or able, key=lambda e: load[e.id], default=None)
        if chosen:
            load[chosen.id] += 1
        assigned.append((instance, chosen))
    return list(_alternating(assigned))


def _alternating(assigned: Sequence[Assignment]) -> Iterable[Assignment]:
    by_endpoint: dict[str, list[Assignment]] = {}
    for pair in assigned:
        by_endpoint.setdefault(pair[1].id if pair[1] else "", []).append(pair)
    for row in zip_longest(*by_endpoint.values()):
        yield from (pair for pair in row if pair)


@dataclass(frozen=True, slots=True)
class TargetLocation:
    """Where a target is. What is not known is empty. `account` is the caller's."""

    label: str
    vpc_id: str
    subnet_id: str = ""
    availability_zone: str = ""
    account: str = ""


class NoEndpointError(NotFoundError):
    """The VPC of a target has no endpoint that the caller may use.

    Attributes:
        location: Where an endpoint would help; None if another account, or another VPC's endpoint, comes first.
        group_ids: The target's security groups.
        vpc_owner: The account that shares the VPC with the caller's; empty if the caller's owns it.
    """

    location: TargetLocation | None = None
    group_ids: tuple[str, ...] = ()
    vpc_owner: str = ""


Command = Callable[..., str]
"""Makes a command line for a hint of its words, as `Session.command` does."""


def _command(*words: str) -> str:
    return pins.command_line(words)


def shared_vpc(vpc_id: str, owner: str, target: str = "") -> str:
    """Return the words for a VPC that another account shares, in which the caller's has no endpoint.

    Participants see and can use only endpoints of their own (docs/explanation/protocol.md#shared-vpcs).
    """
    vpc = f"VPC {vpc_id} (target {target})" if target else f"VPC {vpc_id}"
    return f"{vpc} is shared by account {owner}, whose endpoints other accounts cannot use; this account has none there"


def serves(endpoint: Endpoint, address: str) -> bool:
    """Whether an endpoint's address type suits an address: `ipv4`, `ipv6`, or both with `dualstack`."""
    version = ipaddress.ip_address(address).version
    return endpoint.ip_address_type in ("dualstack", f"ipv{version}")


def choose_endpoint(
    endpoints: Sequence[Endpoint],
    location: TargetLocation,
    address: str,
    *,
    command: Command = _command,
    again: Sequence[str] = (),
) -> Endpoint:
    """Return the endpoint for a target: one in its subnet, else in its Availability Zone, else in its VPC.

    Args:
        endpoints: Endpoints of the region.
        location: Where the target is.
        address: Its address.
        command: Makes the command lines of hints.
        again: The command with which the user would try again; `eicctl ssh` where it is empty.

    Raises:
        NoEndpointError: The VPC has no endpoint.
        UnavailableError: It has some, but none is usable, or none is for the address's family.
    """
    in_vpc = [endpoint for endpoint in endpoints if endpoint.vpc_id == location.vpc_id and _own(endpoint, location)]
    alive = [endpoint for endpoint in in_vpc if endpoint.state != "delete-complete"]
    if not alive:
        where = ("--subnet-id", location.subnet_id) if location.subnet_id else ("--vpc-id", location.vpc_id)
        error = NoEndpointError(
            f"VPC {location.vpc_id} (target {location.label}) has no EC2 Instance Connect Endpoint",
            hint=command("eicctl", "create-endpoint", *where, "--wait"),
        )
        error.location = location
        raise error
    if not (usable := [endpoint for endpoint in alive if endpoint.usable]):
        raise not_usable(alive, again or ("eicctl", "ssh", location.label), command)
    fitting = [endpoint for endpoint in usable if serves(endpoint, address)]
    if not fitting:
        kinds = ", ".join(f"{endpoint.id} ({endpoint.ip_address_type})" for endpoint in usable)
        raise UnavailableError(
            f"No endpoint in VPC {location.vpc_id} serves the address {address}: {kinds}",
            hint=command(*dual_stack(usable[0])),
        )
    return min(fitting, key=lambda endpoint: (_distance(endpoint, location), endpoint.id))


def dual_stack(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the command with which an endpoint serves both address families."""
    keep = ("--no-preserve-client-ip",) if endpoint.preserve_client_ip else ()  # only ipv4 endpoints have it
    return ("eicctl", "modify-endpoint", endpoint.id, "--ip-address-type", "dualstack", *keep, "--wait")


def not_usable(endpoints: Sequence[Endpoint], again: Sequence[str], command: Command = _command) -> UnavailableError:
    """Return the error for endpoints all of which are in a state that serves no connections.

    Args:
        endpoints: The endpoints.
        again: The command with which the user would try again.
        command: Makes the command lines of hints.
    """
    passing = any(endpoint.state == "create-in-progress" for endpoint in endpoints)
    return UnavailableError(
        "; ".join(map(_state, endpoints)),
        hint=command(*again, "--wait") if passing else command("eicctl", "show-endpoint", endpoints[0].id),
        transient=passing,
    )


def _own(endpoint: Endpoint, location: TargetLocation) -> bool:
    """Whether the caller may use it: not one of a shared VPC's owner (docs/explanation/protocol.md#shared-vpcs)."""
    return not location.account or not endpoint.owner_id or endpoint.owner_id == location.account


def _distance(endpoint: Endpoint, location: TargetLocation) -> int:
    if endpoint.subnet_id == location.subnet_id:
        return 0
    return 1 if endpoint.availability_zone == location.availability_zone else 2


def _state(endpoint: Endpoint) -> str:
    if endpoint.state == "create-in-progress":
        return f"Endpoint {endpoint.id} is still being created"
    if endpoint.state == "delete-in-progress":
        return f"Endpoint {endpoint.id} is being deleted"
    reason = f" ({endpoint.state_message})" if endpoint.state_message else ""
    return f"Endpoint {endpoint.id} is in state {endpoint.state}{reason}"


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
    hints = [pins.command(*dual_stack(endpoint))] if dualstack else []
    hints += ["export AWS_USE_FIPS_ENDPOINT=false, without --fips"] if fips else []
    raise UnavailableError(f"Endpoint {endpoint.id} has no {' '.join(words)}", hint="; ".join(hints) or None)
