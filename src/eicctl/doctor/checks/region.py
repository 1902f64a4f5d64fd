"""Whether the region exists, and the account has opted in."""

from __future__ import annotations

from eicctl.aws.explicit_target import explicit_target
from eicctl.aws.regions import check_region
from eicctl.core.errors import DeniedError
from eicctl.doctor.check import Check, Outcome, Segment, Status, always
from eicctl.doctor.context import Context


def run(context: Context) -> Outcome:
    """Look the region up; then begin to list its endpoints, which are needed in a moment whatever the target is."""
    region = context.session.region
    try:
        opted = check_region(context.session)
    except DeniedError as error:
        outcome = Outcome(Status.UNKNOWN, f"{region}; no permission to check whether it is enabled", error.hint or "")
    else:
        note = ", opted in" if opted == "opted-in" else ""
        outcome = Outcome(Status.OK, f"{region}{note}", details={"RegionName": region, "OptInStatus": opted})
    if context.has_target and not explicit_target(context.session, context.request):
        context.prefetch_endpoints()
    return outcome


CHECK = Check(
    key="region",
    title="Region",
    order=30,
    run=run,
    needs=("credentials",),
    applies=always,
    segment=Segment.LOCAL,
    step="region",
    inspects="whether it exists, and the account has opted in",
    permissions=("ec2:DescribeRegions",),
)
