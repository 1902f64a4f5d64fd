"""Which running instances of many regions and accounts can be reached, and what keeps one from the others."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from functools import partial

from eicctl.aws.endpoint_selection import TargetLocation, choose_endpoint, serves
from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.identity import caller_identity
from eicctl.aws.instances import list_instances
from eicctl.aws.network import in_short, read_network
from eicctl.aws.regions import used_regions
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, NotFoundError, UnavailableError, UsageError
from eicctl.core.model import RDP_PORT, Endpoint, Instance, usual_port
from eicctl.core.network import NetworkFacts
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import Connection, Verdict, instance_at
from eicctl.reachability.evaluate import ADDRESS_FAMILY, CLIENT_IP, ENDPOINT_STATE, evaluate, first_cause
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS
from eicctl.reachability.remedies import Change, command_line, new_endpoint
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT
from eicctl.support.threads import Pool, both, together

NO_ENDPOINT = "no-endpoint"
NO_ADDRESS = "no-address"

CAUSES = {
    NO_ADDRESS: "no address",
    NO_ENDPOINT: "no endpoint",
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
"""What to call the causes in a table or a sum, by the IDs of the checks."""

_RANK = {"failed": 0, "unknown": 1, "ok": 2}


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether an instance can be reached.

    Attributes:
        instance: The instance.
        port: The port that was asked about.
        verdict: `ok`, `failed`, or `unknown`.
        endpoint: The endpoint that serves it, or would; None where there is none.
        check: The ID of the check that fails first, or is not known; empty where all is well.
        reason: The first cause in one sentence without a full stop; where all is well, what to know, or nothing.
        change: The smallest change that fixes it, where there is one.
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
        """The cause in a few words; empty where all is well."""
        return CAUSES.get(self.check, "")


def assess(
    instance: Instance,
    endpoints: Sequence[Endpoint],
    facts: NetworkFacts,
    *,
    port: int | None = None,
    client_address: str | None = None,
) -> Reach:
    """Return whether an instance can be reached: by the endpoint that eicctl takes by itself, or else by another one.

    Args:
        instance: A running instance.
        endpoints: The endpoints of its region.
        facts: The network of its region.
        port: The port; the platform's where None.
        client_address: The caller's public address, or None.
    """
    port = port or usual_port(instance.platform)
    if not (instance.private_ip or instance.ipv6):
        return Reach(instance, port, "unknown", check=NO_ADDRESS, reason="it has no private address yet")
    own = _own(instance, endpoints)
    at_home = _through(instance, own, facts, port, client_address) if own else _without(instance, port)
    if at_home.verdict == "ok":
        return at_home
    others = [e for e in endpoints if e.usable and e.vpc_id != instance.vpc_id and _may_lead(facts, e, instance)]
    away = [_through(instance, each, facts, port, client_address) for each in others]
    best = max(away, key=lambda reach: _RANK[reach.verdict], default=at_home)
    if _RANK[best.verdict] <= _RANK[at_home.verdict]:
        return at_home
    return _from_afar(best)


def assess_all(
    instances: Iterable[Instance],
    endpoints: Sequence[Endpoint],
    facts: NetworkFacts,
    *,
    port: int | None = None,
    client_address: str | None = None,
) -> list[Reach]:
    """Return `assess` of each instance."""
    return [assess(each, endpoints, facts, port=port, client_address=client_address) for each in instances]


def summary(reaches: Sequence[Reach]) -> str:
    """Return the whole in one line: `3 of 9 running instances reachable; unreachable: 4 no ingress rule`."""
    count = Counter(reach.verdict for reach in reaches)
    total = len(reaches)
    said = f"{count['ok']} of {total} running instances reachable"
    for verdict, word in (("failed", "unreachable"), ("unknown", "unknown")):
        causes = Counter(reach.cause for reach in reaches if reach.verdict == verdict)
        if causes:
            told = sorted(causes.items(), key=lambda pair: (-pair[1], pair[0]))
            said += f"; {word}: {', '.join(f'{number} {cause}' for cause, number in told)}"
    return said


def _own(instance: Instance, endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint that eicctl takes for an instance; where none is usable, the one that is there."""
    place = TargetLocation(
        instance.id, instance.vpc_id, instance.subnet_id, instance.availability_zone, instance.owner_id
    )
    usable = [e for e in endpoints if e.vpc_id == instance.vpc_id and e.usable]
    try:
        return choose_endpoint(endpoints, place, _address(instance, usable))
    except (NotFoundError, UnavailableError):
        there = [e for e in endpoints if e.vpc_id == instance.vpc_id and not e.state.startswith("delete-complete")]
        return min(there, key=lambda e: (not e.usable, e.id), default=None)


def _address(instance: Instance, endpoints: Sequence[Endpoint]) -> str:
    """The instance's address of a family that one of the endpoints serves, IPv4 first."""
    addresses = [address for address in (instance.private_ip, instance.ipv6) if address]
    return next((a for a in addresses if any(serves(e, a) for e in endpoints)), addresses[0])


def _through(
    instance: Instance, endpoint: Endpoint, facts: NetworkFacts, port: int, client_address: str | None
) -> Reach:
    target = instance_at(instance, _address(instance, [endpoint]))
    cause = first_cause(evaluate(facts, Connection(endpoint, target, port, client_address)))
    if cause is None:
        return Reach(instance, port, "ok", endpoint)
    return Reach(instance, port, cause.verdict, endpoint, cause.check, cause.evidence, cause.change)


def _without(instance: Instance, port: int) -> Reach:
    reason = f"VPC {instance.vpc_id} has no EC2 Instance Connect Endpoint"
    change = new_endpoint(instance.vpc_id, instance.subnet_id)
    return Reach(instance, port, "failed", None, NO_ENDPOINT, reason, change)


def _may_lead(facts: NetworkFacts, endpoint: Endpoint, instance: Instance) -> bool:
    """Whether an endpoint may reach another VPC: by a peering connection, or a transit gateway."""
    if any(set(p.vpc_ids) == {endpoint.vpc_id, instance.vpc_id} for p in (facts.peerings or {}).values()):
        return True
    tables = [table for table in (facts.route_tables or {}).values() if table.vpc_id == endpoint.vpc_id]
    return any(route.kind == "transit-gateway" for table in tables for route in table.routes)


def _from_afar(reach: Reach) -> Reach:
    """An instance that an endpoint of another VPC reaches: eicctl takes that one only where it is named."""
    assert reach.endpoint  # noqa: S101 - it was reached through one
    where = f"{reach.endpoint.id} of {reach.endpoint.vpc_id}"
    if reach.verdict == "ok":
        command = "rdp" if reach.port == RDP_PORT else "ssh"
        reason = (
            f"reached from another VPC: eicctl {command} {reach.instance.id} "
            f"--instance-connect-endpoint-id {reach.endpoint.id}"
        )
    else:
        reason = f"no endpoint in {reach.instance.vpc_id} reaches it; {where} may: {reach.reason}"
    return Reach(reach.instance, reach.port, reach.verdict, reach.endpoint, reach.check, reason, reach.change)


_AT_ONCE = 8
_NARROW = 200
"""EC2 takes no more values in one filter."""


@dataclass(frozen=True, slots=True)
class ScanLocation:
    """A region of an account, as one profile sees it. `account_id` is empty where the caller may not know it."""

    profile: str
    account_id: str
    region: str

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return f"{self.profile or self.account_id or 'default'} {self.region}".strip()


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is in a place. `instances` are the running ones."""

    place: ScanLocation
    instances: tuple[Instance, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    facts: NetworkFacts = field(default_factory=NetworkFacts)


@dataclass(frozen=True, slots=True)
class Unread:
    """A place that could not be read, and why."""

    place: ScanLocation
    error: EicctlError


@dataclass(frozen=True, slots=True)
class Account:
    """Access to one account: a session, and the regions to look in."""

    session: Session
    account_id: str
    regions: tuple[str, ...]

    def places(self) -> list[tuple[Session, ScanLocation]]:
        """The session with each place."""
        return [(self.session, ScanLocation(self.session.profile or "", self.account_id, r)) for r in self.regions]


def account_of(session: Session, regions: Sequence[str], *, all_regions: bool) -> Account:
    """Return the account of a session with the regions to look in.

    Args:
        session: Access to AWS.
        regions: The regions; the session's where there are none.
        all_regions: Look in all that the account uses instead.

    Raises:
        EicctlError: The credentials are not accepted, or the regions cannot be listed.
    """
    account_id = caller_identity(session, regions[0] if regions else None).account
    if all_regions:
        return Account(session, account_id, tuple(used_regions(session, ask=regions[0] if regions else None)))
    return Account(session, account_id, tuple(dict.fromkeys(regions or [session.region])))


def read_inventory(session: Session, place: ScanLocation) -> Inventory:
    """Return what there is in one place.

    Raises:
        EicctlError: Its instances or its endpoints cannot be listed.
    """
    running = {"instance-state-name": ["running"]}
    instances, endpoints = both(
        lambda: list_instances(session, filters=running, region=place.region),
        lambda: list_endpoints(session, region=place.region),
    )
    if not instances:
        return Inventory(place, endpoints=tuple(endpoints))
    vpc_ids = sorted({each.vpc_id for each in instances} | {each.vpc_id for each in endpoints} - {""})
    facts = read_network(
        session,
        region=place.region,
        vpc_ids=vpc_ids if len(vpc_ids) <= _NARROW else (),
        interface_ids=[each for endpoint in endpoints for each in endpoint.network_interface_ids],
    )
    return Inventory(place, tuple(instances), tuple(endpoints), facts)


def read_inventories(accounts: Sequence[Account]) -> Iterator[Inventory | Unread]:
    """Yield what there is in each place of the accounts, in the order in which they answer."""

    def look(session: Session, place: ScanLocation) -> Inventory | Unread:
        try:
            return read_inventory(session, place)
        except EicctlError as error:
            return Unread(place, error)

    places = [pair for account in accounts for pair in account.places()]
    with Pool(_AT_ONCE) as pool:
        for future in as_completed([pool.submit(partial(look, session, place)) for session, place in places]):
            yield future.result()


@dataclass(frozen=True, slots=True)
class Covered:
    """A place that was read, with the answer for each running instance."""

    inventory: Inventory
    reaches: tuple[Reach, ...]

    @property
    def place(self) -> ScanLocation:
        """Where it is."""
        return self.inventory.place

    def command(self, reach: Reach) -> str:
        """The command that fixes what makes an instance unreachable; empty where there is none."""
        if reach.change is None:
            return ""
        return command_line(reach.change, region=self.place.region, profile=self.place.profile or None)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The answers of all places; `unread` are those that could not be read."""

    covered: tuple[Covered, ...] = ()
    unread: tuple[Unread, ...] = ()
    places: int = 0

    @property
    def reaches(self) -> list[Reach]:
        """The answer for each running instance, place by place."""
        return [reach for covered in self.covered for reach in covered.reaches]

    @property
    def notices(self) -> list[str]:
        """What could not be read, in words."""
        said = [(each.place, in_short(each.error)) for each in self.unread]
        said += [(each.place, why) for each in self.covered for why in each.inventory.facts.unread.values()]
        return [f"{place.label}: {why}" for place, why in said]


def cover(
    sessions: Sequence[Session],
    *,
    regions: Sequence[str] = (),
    all_regions: bool = False,
    port: int | None = None,
    client_address: str | None = None,
    told: Callable[[Coverage], None] = lambda _so_far: None,
) -> Coverage:
    """Return which running instances can be reached.

    Args:
        sessions: Access to the accounts, one for each profile.
        regions: The regions to look in; each session's own where there are none.
        all_regions: Look in all regions that an account uses instead.
        port: The port; the platform's where None.
        client_address: The caller's public IPv4 address, or None.
        told: Is told after each place what is known so far.

    Raises:
        UsageError: The address is none.
        EicctlError: Nothing could be read at all; it is the first place's error.
    """
    _check(client_address)
    accounts, so_far = _accounts(sessions, [region for region in regions if region], all_regions=all_regions)
    so_far = replace(so_far, places=len(so_far.unread) + sum(len(account.regions) for account in accounts))
    for found in read_inventories(accounts):
        if isinstance(found, Unread):
            so_far = replace(so_far, unread=(*so_far.unread, found))
        else:
            reaches = assess_all(
                found.instances, found.endpoints, found.facts, port=port, client_address=client_address
            )
            so_far = replace(so_far, covered=(*so_far.covered, Covered(found, tuple(reaches))))
        told(so_far)
    if so_far.unread and not so_far.covered:
        raise so_far.unread[0].error
    return replace(
        so_far,
        covered=tuple(sorted(so_far.covered, key=lambda each: _order(each.place))),
        unread=tuple(sorted(so_far.unread, key=lambda each: _order(each.place))),
    )


def _order(place: ScanLocation) -> tuple[str, str, str]:
    return (place.account_id, place.profile, place.region)


def _check(address: str | None) -> None:
    if address is None:
        return
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        raise UsageError(f"{address} is not an IPv4 address", hint="client IP preservation is for IPv4 only") from None


def _accounts(
    sessions: Sequence[Session], regions: Sequence[str], *, all_regions: bool
) -> tuple[list[Account], Coverage]:
    """The accounts, and those that could not be asked. Of two profiles of one account, a region is asked once."""

    def ask(session: Session) -> Account | Unread:
        try:
            return account_of(session, regions, all_regions=all_regions)
        except EicctlError as error:
            return Unread(ScanLocation(session.profile or "", "", ""), error)

    answers = together([lambda each=each: ask(each) for each in sessions])  # type: ignore[misc]
    return list(_apart(answers)), Coverage(unread=tuple(each for each in answers if isinstance(each, Unread)))


def _apart(answers: Sequence[Account | Unread]) -> Iterator[Account]:
    seen: set[tuple[str, str]] = set()
    for each in answers:
        if isinstance(each, Account):
            new = tuple(region for region in each.regions if (each.account_id, region) not in seen)
            seen |= {(each.account_id, region) for region in new}
            yield replace(each, regions=new)
