"""The regions that an account uses."""

from __future__ import annotations

from eicctl.aws.errors import translated
from eicctl.aws.session import Session


def used_regions(session: Session, *, ask: str | None = None) -> list[str]:
    """Return the regions that the account uses, sorted: those that need no opt-in, and those that it has opted in to.

    Args:
        session: Access to AWS.
        ask: The region whose EC2 is asked; the session's where None.
    """
    with translated("list the regions"):
        return sorted(row["RegionName"] for row in session.client("ec2", ask).describe_regions()["Regions"])
