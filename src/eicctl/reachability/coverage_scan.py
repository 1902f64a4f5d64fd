"""Reads what there is in many places and says which instances can be reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from eicctl.aws.inventory import Account, Place, Survey, Unread, account_of, survey_all
from eicctl.aws.network import in_short
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, UsageError
from eicctl.reachability.coverage import Reach, assess_all
from eicctl.reachability.remedies import command_line
from eicctl.support.parallel import together


@dataclass(frozen=True, slots=True)
class Covered:
    """A place that was read, with the answer for each running instance."""

    survey: Survey
    reaches: tuple[Reach, ...]

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.survey.place

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
        said += [(each.place, why) for each in self.covered for why in each.survey.facts.unread.values()]
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
    for found in survey_all(accounts):
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


def _order(place: Place) -> tuple[str, str, str]:
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
            return Unread(Place(session.profile or "", "", ""), error)

    answers = together([lambda each=each: ask(each) for each in sessions])  # type: ignore[misc]
    return list(_apart(answers)), Coverage(unread=tuple(each for each in answers if isinstance(each, Unread)))


def _apart(answers: Sequence[Account | Unread]) -> Iterator[Account]:
    seen: set[tuple[str, str]] = set()
    for each in answers:
        if isinstance(each, Account):
            new = tuple(region for region in each.regions if (each.account_id, region) not in seen)
            seen |= {(each.account_id, region) for region in new}
            yield replace(each, regions=new)
