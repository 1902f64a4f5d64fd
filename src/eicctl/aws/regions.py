"""Regions: which ones an account uses, whether one exists and is enabled, and in which of them an instance is."""

from __future__ import annotations

import difflib

from eicctl.aws.ec2_requests import exact_filters
from eicctl.aws.errors import translated
from eicctl.aws.explicit_target import INSTANCE_ID
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.core.errors import EicctlError, NetworkError, NotFoundError, UnavailableError
from eicctl.core.model import Instance
from eicctl.support import pins
from eicctl.support.threads import for_each


def used_regions(session: Session, *, ask: str | None = None) -> list[str]:
    """Return the regions that the account uses, sorted: those that need no opt-in, and those that it has opted in to.

    Args:
        session: Access to AWS.
        ask: The region whose EC2 is asked; the session's where None.
    """
    with translated("list the regions"):
        return sorted(row["RegionName"] for row in session.client("ec2", ask).describe_regions()["Regions"])


_HINT = "--region, AWS_REGION, or region of the profile"


def no_such_region(session: Session) -> NotFoundError | None:
    """Return an error if botocore does not know the session's region; with what may be meant. AWS is not asked.

    New regions are not known either, so it counts only where AWS does not answer, or says the same.
    """
    with translated("list the regions"):
        known = sorted(session.known_regions("ec2"))
    if session.region in known:
        return None
    near = difflib.get_close_matches(session.region, known, n=2, cutoff=0.8)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return NotFoundError(f'No region named "{session.region}"', hint=f"{meant}{_HINT}")


def check_region(session: Session) -> str:
    """Return the opt-in status of the session's region: `opt-in-not-required` or `opted-in`.

    Raises:
        UsageError: No region is given.
        NotFoundError: The region does not exist.
        UnavailableError: The account has not opted in to it.
        DeniedError: The caller may not ask.
    """
    region = session.region
    try:
        with translated("look up the region"):
            rows = session.client("ec2").describe_regions(
                AllRegions=True, Filters=exact_filters({"region-name": [region]})
            )["Regions"]
    except NetworkError as error:
        raise no_such_region(session) or error from error
    if not rows:
        raise no_such_region(session) or NotFoundError(f'No region named "{region}"', hint=_HINT)
    status = str(rows[0].get("OptInStatus", ""))
    if status == "not-opted-in":
        raise UnavailableError(
            f"The account has not opted in to {region}",
            hint=pins.command("aws", "account", "enable-region", "--region-name", region),
        )
    return status


def find_elsewhere(session: Session, name: str) -> list[Instance]:
    """Return the instances with this ID or Name tag in the other regions of the account; those that do not answer are
    left out."""
    try:
        regions = used_regions(session)
    except EicctlError:
        return []
    by_id = INSTANCE_ID.fullmatch(name)
    filters = {"instance-id": [name]} if by_id else {"tag:Name": [name]}

    def look(region: str) -> list[Instance]:
        try:
            return list_instances(session, filters=filters, region=region)
        except EicctlError:
            return []

    others = [region for region in regions if region != session.region]
    found = for_each(look, others)
    return [instance for region in found for instance in region if instance.state != "terminated"]
