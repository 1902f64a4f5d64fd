"""Which running instances of many regions and accounts can be reached, and what keeps one from the others."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from functools import partial

from eicctl.aws.accounts import Account, Failure
from eicctl.aws.ec2_requests import FILTER_VALUES
from eicctl.aws.endpoint_selection import TargetLocation, choose_endpoint, serves, shared_vpc
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.identity import caller_identity
from eicctl.aws.instances import list_instances
from eicctl.aws.network import in_short, read_network
from eicctl.aws.regions import used_regions
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, NotFoundError, UnavailableError, UsageError
from eicctl.core.model import RDP_PORT, Endpoint, Instance, usual_port
from eicctl.core.names import counted
from eicctl.core.network import NetworkFacts
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import Connection, Verdict, instance_at
from eicctl.reachability.evaluate import ADDRESS_FAMILY, CLIENT_IP, ENDPOINT_STATE, evaluate, first_cause
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS
from eicctl.reachability.remedies import Change, change_command, new_endpoint
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT
from eicctl.support.threads import Pool, both, together

NO_ENDPOINT = "no-endpoint"
NO_ADDRESS = "no-address"
SHARED_VPC = "shared-vpc"

CAUSES = {
    NO_ADDRESS: "no address",
    NO_ENDPOINT: "no endpoint",
    SHARED_VPC: "shared VPC",
    ENDPOINT_STATE: "endpoint not available",
    ADDRESS_FAMILY: "address family",
    CLIENT_IP: "client IP preservation",
    ENDPOINT_EGRESS: "endpoint's egress",
    ROUTE_OUT: "no route",
    ENDPOINT_ACL_OUT: "network ACL",
    TARGET_ACL_IN: "network ACL",
    TARGET_INGRESS: "no ingress rule",
    ROUTE_BACK: "no route back",
    TARGET_ACL_OUT: "network ACL",
    ENDPOINT_ACL_IN: "network ACL",
}
"""Causes in a few words, by the IDs of the checks."""

_RANK = {"failed": 0, "unknown": 1, "ok": 2}
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether an instance can be reached.

    Attributes:
        instance: The instance.
        port: The remote port.
        verdict: `ok`, `failed`, or `unknown`.
        endpoint: The endpoint that serves it, or would; None if its VPC has none.
        check: The ID of the first check that fails or is unknown; empty if none is.
        reason: The cause in one sentence without a full stop; for a reachable instance a remark, or nothing.
        change: The smallest change that fixes it, if there is one.
    """

    instance: Instance
    port: int
    verdict: Verdict
    endpoint: Endpoint | None = None
    check: str = ""
    reason: str = ""
    change: Change | None = None

    @property
    def cause(self) -> str:
        """The cause in a few words; empty for a reachable instance."""
        return CAUSES.get(self.check, "")


def assess(
    instance: Instance,
    endpoints: Sequence[Endpoint],
    facts: NetworkFacts,
    *,
    port: int | None = None,
    client_address: str | None = None,
) -> Reach:
    """Return whether an instance can be reached: by the endpoint that eicctl selects, or else by another one.

    Args:
        instance: A running instance.
        endpoints: The endpoints of its region.
        facts: The network of its region.
        port: The remote port; None for the platform's.
        client_address: The caller's public address, or None.
    """
    port = port or usual_port(instance.platform)
    if not (instance.private_ip or instance.ipv6):
        return Reach(instance, port, "unknown", check=NO_ADDRESS, reason="it has no private address yet")

    def through(endpoint: Endpoint) -> Reach:
        target = instance_at(instance, _address(instance, [endpoint]))
        cause = first_cause(evaluate(facts, Connection(endpoint, target, port, client_address)))
        if cause is None:
            return Reach(instance, port, "ok", endpoint)
        return Reach(instance, port, cause.verdict, endpoint, cause.check, cause.evidence, cause.change)

    if selected := _selected(instance, endpoints):
        own = through(selected)
    else:
        owner = vpc.account_id if (vpc := (facts.vpcs or {}).get(instance.vpc_id)) else ""
        shared = bool(owner and instance.owner_id and owner != instance.owner_id)
        reason = (
            shared_vpc(instance.vpc_id, owner)
            if shared
            else f"VPC {instance.vpc_id} has no EC2 Instance Connect Endpoint"
        )
        change = new_endpoint(instance.vpc_id, instance.subnet_id, own_group=shared)
        own = Reach(instance, port, "failed", None, SHARED_VPC if shared else NO_ENDPOINT, reason, change)
    if own.verdict == "ok":
        return own
    others = [e for e in endpoints if e.usable and e.vpc_id != instance.vpc_id and _may_lead(facts, e, instance)]
    best = max(map(through, others), key=lambda reach: _RANK[reach.verdict], default=own)
    return _from_another_vpc(best) if _RANK[best.verdict] > _RANK[own.verdict] else own


def summary(reaches: Sequence[Reach]) -> str:
    """Return the result in one line: `3 of 9 running instances reachable; unreachable: 4 no ingress rule`."""
    text = f"{sum(reach.verdict == 'ok' for reach in reaches)} of {counted(len(reaches), 'running instance')} reachable"
    for verdict, word in (("failed", "unreachable"), ("unknown", "unknown")):
        causes = Counter(reach.cause for reach in reaches if reach.verdict == verdict)
        if causes:
            ordered = sorted(causes.items(), key=lambda pair: (-pair[1], pair[0]))
            text += f"; {word}: {', '.join(f'{number} {cause}' for cause, number in ordered)}"
    return text


def _selected(instance: Instance, endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint that eicctl selects for an instance; if none is usable, an existing one of the VPC."""
    location = TargetLocation(
        instance.id, instance.vpc_id, instance.subnet_id, instance.availability_zone, instance.owner_id
    )
    in_vpc = [e for e in endpoints if e.vpc_id == instance.vpc_id]
    try:
        return choose_endpoint(endpoints, location, _address(instance, [e for e in in_vpc if e.usable]))
    except (NotFoundError, UnavailableError):
        existing = [e for e in in_vpc if not e.state.startswith("delete-complete")]
        return min(existing, key=lambda e: (not e.usable, e.id), default=None)


def _address(instance: Instance, endpoints: Sequence[Endpoint]) -> str:
    """The instance's address of a family that one of the endpoints serves, IPv4 first."""
    addresses = [address for address in (instance.private_ip, instance.ipv6) if address]
    return next((a for a in addresses if any(serves(e, a) for e in endpoints)), addresses[0])


def _may_lead(facts: NetworkFacts, endpoint: Endpoint, instance: Instance) -> bool:
    """Whether an endpoint may reach another VPC: by a peering connection, or a transit gateway."""
    if any(set(p.vpc_ids) == {endpoint.vpc_id, instance.vpc_id} for p in (facts.peerings or {}).values()):
        return True
    tables = [table for table in (facts.route_tables or {}).values() if table.vpc_id == endpoint.vpc_id]
    return any(route.kind == "transit-gateway" for table in tables for route in table.routes)


def _from_another_vpc(reach: Reach) -> Reach:
    """An instance that an endpoint of another VPC reaches: eicctl uses that one only if it is specified."""
    assert reach.endpoint  # noqa: S101 - it was reached through one
    if reach.verdict == "ok":
        command = "rdp" if reach.port == RDP_PORT else "ssh"
        line = f"eicctl {command} {reach.instance.id} --instance-connect-endpoint-id {reach.endpoint.id}"
        return replace(reach, reason=f"reached from another VPC: {line}")
    where = f"{reach.endpoint.id} of {reach.endpoint.vpc_id}"
    return replace(reach, reason=f"no endpoint in {reach.instance.vpc_id} reaches it; {where} may: {reach.reason}")


@dataclass(frozen=True, slots=True)
class ScanLocation:
    """A region of an account."""

    account: Account
    region: str

    @property
    def profile(self) -> str:
        """The profile that leads there, or empty."""
        return self.account.profile

    @property
    def account_id(self) -> str:
        """The account."""
        return self.account.id

    @property
    def order(self) -> tuple[str, str, str]:
        """By what results are sorted."""
        return (*self.account.order, self.region)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a location has: the running instances, the endpoints, the network; and the result for each instance."""

    location: ScanLocation
    instances: tuple[Instance, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    facts: NetworkFacts = field(default_factory=NetworkFacts)
    reaches: tuple[Reach, ...] = ()

    def command(self, reach: Reach) -> str:
        """The command that fixes what makes an instance unreachable; empty if there is none."""
        if reach.change is None:
            return ""
        profile = self.location.account.profile_for_commands
        return change_command(reach.change, region=self.location.region, profile=profile or None)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The results of all locations; `unread` are those that could not be read, `total` is how many there are."""

    covered: tuple[Inventory, ...] = ()
    unread: tuple[Failure, ...] = ()
    total: int = 0

    @property
    def read(self) -> int:
        """How many locations have answered, or failed to."""
        return len(self.covered) + len(self.unread)

    @property
    def reaches(self) -> list[Reach]:
        """The result for each running instance, location by location."""
        return [reach for covered in self.covered for reach in covered.reaches]

    @property
    def notices(self) -> list[str]:
        """What could not be read, one sentence each."""
        return [f"{each.label}: {in_short(each.error)}" for each in self.unread] + self.gaps

    @property
    def gaps(self) -> list[str]:
        """Which facts of locations could not be read, one sentence each."""
        places = [(each.location, reason) for each in self.covered for reason in each.facts.unread.values()]
        return [f"{location.account.label} {location.region}: {reason}" for location, reason in places]

    def check(self) -> None:
        """Raise the first error if nothing could be read."""
        if self.unread and not self.covered:
            raise self.unread[0].error


def read_inventory(session: Session, location: ScanLocation) -> Inventory:
    """Return what a location has.

    Raises:
        EicctlError: Its instances or its endpoints cannot be listed.
    """
    running = {"instance-state-name": ["running"]}
    instances, endpoints = both(
        lambda: list_instances(session, filters=running, region=location.region),
        lambda: list_endpoints(session, region=location.region),
    )
    if not instances:
        return Inventory(location, endpoints=tuple(endpoints))
    vpc_ids = sorted({each.vpc_id for each in instances} | {each.vpc_id for each in endpoints} - {""})
    facts = read_network(
        session,
        region=location.region,
        vpc_ids=vpc_ids if len(vpc_ids) <= FILTER_VALUES else (),
        interface_ids=[each for endpoint in endpoints for each in endpoint.network_interface_ids],
    )
    return Inventory(location, tuple(instances), tuple(endpoints), facts)


def cover(
    accounts: Sequence[Account],
    failures: Sequence[Failure] = (),
    *,
    regions: Sequence[str] = (),
    all_regions: bool = False,
    port: int | None = None,
    client_address: str | None = None,
    progress: Callable[[Coverage], None] = lambda _so_far: None,
) -> Coverage:
    """Return which running instances can be reached. Of two profiles of one account, a region is read once.

    Args:
        accounts: Access to the accounts, one for each profile.
        failures: Accounts that could not be opened.
        regions: The regions to read; each session's own if empty.
        all_regions: Read all regions that an account uses instead.
        port: The remote port; None for the platform's.
        client_address: The caller's public IPv4 address, or None.
        progress: Called after each location with the results so far.

    Raises:
        UsageError: The address is not an IPv4 address.
    """
    _check(client_address)
    wanted = [region for region in regions if region]
    answers = together([partial(_locations, account, wanted, all_regions) for account in accounts])
    jobs: dict[tuple[str, str], ScanLocation] = {}
    for locations in answers:
        for location in [] if isinstance(locations, Failure) else locations:
            jobs.setdefault((location.account_id, location.region), location)

    def read(location: ScanLocation) -> Inventory | Failure:
        try:
            return read_inventory(location.account.session, location)
        except EicctlError as error:
            return Failure(location.account, error, location.region)
        finally:
            if len(jobs) > 1:  # descriptors are fewer than the regions of all accounts
                location.account.session.close(location.region)

    unread = (*failures, *(each for each in answers if isinstance(each, Failure)))
    result = Coverage(unread=unread, total=len(unread) + len(jobs))
    with Pool(_AT_ONCE) as pool:
        for future in as_completed([pool.submit(partial(read, job)) for job in jobs.values()]):
            found = future.result()
            if isinstance(found, Failure):
                result = replace(result, unread=(*result.unread, found))
            else:
                reaches = (
                    assess(each, found.endpoints, found.facts, port=port, client_address=client_address)
                    for each in found.instances
                )
                result = replace(result, covered=(*result.covered, replace(found, reaches=tuple(reaches))))
            progress(result)
    return replace(
        result,
        covered=tuple(sorted(result.covered, key=lambda each: each.location.order)),
        unread=tuple(sorted(result.unread, key=lambda each: (*each.account.order, each.region))),
    )


def _check(address: str | None) -> None:
    try:
        ipaddress.IPv4Address(address or "0.0.0.0")  # noqa: S104 - no address given
    except ValueError:
        raise UsageError(f"{address} is not an IPv4 address", hint="client IP preservation is for IPv4 only") from None


def _locations(account: Account, regions: Sequence[str], all_regions: bool) -> list[ScanLocation] | Failure:
    """The regions of an account to read, or why they are not known."""
    session, first = account.session, regions[0] if regions else None
    try:
        known = account if account.id else replace(account, id=caller_identity(session, first).account)
        found = used_regions(session, ask=first) if all_regions else regions or [session.region]
    except EicctlError as error:
        return Failure(account, error)
    return [ScanLocation(known, region) for region in dict.fromkeys(found)]
