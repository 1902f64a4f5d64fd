"""Everything that decides which running instances can be reached, of many regions and accounts at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from functools import partial

from eicctl.aws.endpoints import list_endpoints
from eicctl.aws.identity import caller_identity
from eicctl.aws.instances import list_instances
from eicctl.aws.network import read_network
from eicctl.aws.regions import used_regions
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError
from eicctl.core.model import Endpoint, Instance
from eicctl.core.network import NetworkFacts
from eicctl.support.parallel import Pool, both

_AT_ONCE = 8
_NARROW = 200
"""EC2 takes no more values in one filter."""


@dataclass(frozen=True, slots=True)
class Place:
    """A region of an account, as one profile sees it. `account_id` is empty where the caller may not know it."""

    profile: str
    account_id: str
    region: str

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return f"{self.profile or self.account_id or 'default'} {self.region}".strip()


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is in a place. `instances` are the running ones."""

    place: Place
    instances: tuple[Instance, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    facts: NetworkFacts = field(default_factory=NetworkFacts)


@dataclass(frozen=True, slots=True)
class Unread:
    """A place that could not be read, and why."""

    place: Place
    error: EicctlError


@dataclass(frozen=True, slots=True)
class Account:
    """Access to one account: a session, and the regions to look in."""

    session: Session
    account_id: str
    regions: tuple[str, ...]

    def places(self) -> list[tuple[Session, Place]]:
        """The session with each place."""
        return [(self.session, Place(self.session.profile or "", self.account_id, r)) for r in self.regions]


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


def survey(session: Session, place: Place) -> Survey:
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
        return Survey(place, endpoints=tuple(endpoints))
    vpc_ids = sorted({each.vpc_id for each in instances} | {each.vpc_id for each in endpoints} - {""})
    facts = read_network(
        session,
        region=place.region,
        vpc_ids=vpc_ids if len(vpc_ids) <= _NARROW else (),
        interface_ids=[each for endpoint in endpoints for each in endpoint.network_interface_ids],
    )
    return Survey(place, tuple(instances), tuple(endpoints), facts)


def survey_all(accounts: Sequence[Account]) -> Iterator[Survey | Unread]:
    """Yield what there is in each place of the accounts, in the order in which they answer."""

    def look(session: Session, place: Place) -> Survey | Unread:
        try:
            return survey(session, place)
        except EicctlError as error:
            return Unread(place, error)

    places = [pair for account in accounts for pair in account.places()]
    with Pool(_AT_ONCE) as pool:
        for future in as_completed([pool.submit(partial(look, session, place)) for session, place in places]):
            yield future.result()
