"""Reads many regions and accounts at the same time, and tells which of their running instances can be reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from functools import partial

from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.identity import caller_identity
from eicctl.aws.instances import list_instances
from eicctl.aws.network import in_short, read_network
from eicctl.aws.regions import used_regions
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, UsageError
from eicctl.core.model import Endpoint, Instance
from eicctl.core.network import NetworkFacts
from eicctl.reachability.coverage import Reach, assess_all
from eicctl.reachability.remedies import command_line
from eicctl.support.threads import Pool, both, together

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
