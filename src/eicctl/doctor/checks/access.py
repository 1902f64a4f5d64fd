"""Whose credentials these are, whether the clock is right enough for signatures, and whether the region is enabled."""

from __future__ import annotations

from eicctl.aws.explicit_target import explicit_target
from eicctl.aws.identity import Identity, caller_identity, clock_offset
from eicctl.aws.regions import check_region, no_such_region
from eicctl.core.errors import CredentialsError, DeniedError, EicctlError, NetworkError
from eicctl.doctor.check import Check, Outcome, Segment, Status, always, duration, unknown_outcome
from eicctl.doctor.context import Context
from eicctl.support import clock
from eicctl.tunnel.errors import BEHIND

SOON = 300
"""Seconds before the end of credentials from which their end is a warning."""

_SOURCES = {
    "env": "from the environment",
    "shared-credentials-file": "from the credentials file",
    "config-file": "from the config file",
    "custom-process": "from credential_process",
    "iam-role": "of the instance's role",
    "container-role": "of the container's role",
    "sso": "from SSO",
}


def _run_credentials(context: Context) -> Outcome:
    """Ask STS for the caller, and keep it in the context."""
    try:
        context.identity = caller_identity(context.session)
    except NetworkError as error:
        raise no_such_region(context.session) or error from error  # the host of a misspelled region does not exist
    return identity_outcome(context.identity)


def identity_outcome(identity: Identity) -> Outcome:
    """Return the outcome for credentials that AWS accepts."""
    source = _SOURCES.get(identity.source, f"from {identity.source}" if identity.source else "")
    message = f"{identity.arn} (key {identity.access_key_id} {source})".replace(" )", ")")
    left = identity.lasts
    if left is not None and left < SOON:
        message += f", expires in {duration(max(left, 0))}: open tunnels stay up, new ones need fresh credentials"
    elif left is not None:
        message += f", valid for {duration(left)}"
    details = {
        "Arn": identity.arn,
        "Account": identity.account,
        "AccessKeyId": identity.access_key_id,
        "Source": identity.source,
        "Expires": identity.expires,
    }
    return Outcome(Status.OK, message, details=details)


CREDENTIALS = Check(
    key="credentials",
    title="Credentials",
    order=10,
    run=_run_credentials,
    applies=always,
    segment=Segment.LOCAL,
    step="credentials",
    inspects="the caller, where they come from, when they expire",
)


def _run_clock(context: Context) -> Outcome:
    """Compare this machine's clock with the date of a response of AWS."""
    try:
        ahead = clock_offset(context.session)
    except NetworkError:
        return Outcome(Status.UNKNOWN, "AWS did not respond, so its time is unknown")
    except EicctlError as error:
        return unknown_outcome(error)
    return clock_outcome(ahead)


def clock_outcome(ahead: float | None) -> Outcome:
    """Return the outcome for a clock that is so many seconds ahead of AWS's; None if that is not known."""
    if ahead is None:
        return Outcome(Status.UNKNOWN, "AWS's response has no date")
    details = {"OffsetSeconds": round(ahead, 1)}
    offset = f"{duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} AWS's"
    if -BEHIND < ahead < clock.TOLERANCE:
        return Outcome(Status.OK, "within a second of AWS's" if abs(ahead) < 1 else offset, details=details)
    return Outcome(
        Status.FAILED,
        f"{offset}: AWS rejects its signatures",
        clock.how_to_set(),
        cause=f"this machine's clock is {offset}, so AWS rejects its signatures",
        exit_code=CredentialsError.default_exit_code,
        details=details,
    )


CLOCK = Check(
    key="clock",
    title="Clock",
    order=20,
    run=_run_clock,
    applies=always,
    segment=Segment.LOCAL,
    step="clock",
    inspects="this machine's clock against the date in a response from AWS",
)


def _run_region(context: Context) -> Outcome:
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


REGION = Check(
    key="region",
    title="Region",
    order=30,
    run=_run_region,
    needs=("credentials",),
    applies=always,
    segment=Segment.LOCAL,
    step="region",
    inspects="whether it exists, and the account has opted in",
    permissions=("ec2:DescribeRegions",),
)
