"""Looks at what comes before any target: credentials, clock, region."""

from __future__ import annotations

from eicctl.aws.identity import Identity, caller_identity, clock_offset
from eicctl.aws.regions import check_region, no_such_region
from eicctl.aws.session import Session
from eicctl.core.errors import DeniedError, EicctlError, NetworkError
from eicctl.doctor.check import Outcome, Status
from eicctl.doctor.run import failed, not_seen
from eicctl.doctor.words import duration
from eicctl.support import clock
from eicctl.tunnel.errors import BEHIND

SOON = 300
"""Seconds before the end of credentials from which it is told."""

_SOURCES = {
    "env": "from the environment",
    "shared-credentials-file": "from the credentials file",
    "config-file": "from the config file",
    "custom-process": "from credential_process",
    "iam-role": "of the instance's role",
    "container-role": "of the container's role",
    "sso": "from SSO",
}


def look_at_credentials(session: Session) -> tuple[Outcome, Identity]:
    """Whose they are, and until when.

    Raises:
        EicctlError: AWS does not take them, or does not answer.
    """
    try:
        identity = caller_identity(session)
    except NetworkError as error:
        raise no_such_region(session) or error from error  # a region that there is not has no host to connect to
    return identity_outcome(identity), identity


def identity_outcome(identity: Identity) -> Outcome:
    """Return what there is to say of credentials that AWS takes."""
    source = _SOURCES.get(identity.source, f"from {identity.source}" if identity.source else "")
    seen = f"{identity.arn} (key {identity.access_key_id} {source})".replace(" )", ")")
    left = identity.lasts
    if left is not None and left < SOON:
        seen += f", which ends in {duration(max(left, 0))}: open tunnels stay, new ones need fresh credentials"
    elif left is not None:
        seen += f", good for {duration(left)}"
    details = {
        "Arn": identity.arn,
        "Account": identity.account,
        "AccessKeyId": identity.access_key_id,
        "Source": identity.source,
        "Expires": identity.expires,
    }
    return Outcome(Status.OK, seen, details=details)


def look_at_clock(session: Session) -> Outcome:
    """Whether this machine's clock is right enough for signatures."""
    try:
        ahead = clock_offset(session)
    except NetworkError:
        return Outcome(Status.UNKNOWN, "AWS does not answer, so its clock is not known")
    except EicctlError as error:
        return not_seen(error)
    return clock_outcome(ahead)


def clock_outcome(ahead: float | None) -> Outcome:
    """Return what a clock means that is so many seconds ahead of AWS's; None where that is not known."""
    if ahead is None:
        return Outcome(Status.UNKNOWN, "AWS's answer has no date")
    details = {"OffsetSeconds": round(ahead, 1)}
    where = "ahead of" if ahead > 0 else "behind"
    if -BEHIND < ahead < clock.TOLERANCE:
        seen = "agrees with AWS's within a second" if abs(ahead) < 1 else f"{duration(abs(ahead))} {where} AWS's"
        return Outcome(Status.OK, seen, details=details)
    said = f"{duration(abs(ahead))} {where} AWS's"
    return Outcome(
        Status.FAILED,
        f"{said}: signatures are not accepted",
        clock.how_to_set(),
        cause=f"this machine's clock is {said}, so AWS does not accept what it signs",
        exit_code=4,
        details=details,
    )


def look_at_region(session: Session) -> Outcome:
    """Whether the region exists and may be used."""
    try:
        opted = check_region(session)
    except DeniedError as error:
        return Outcome(
            Status.UNKNOWN, f"{session.region}; no permission to look whether it may be used", error.hint or ""
        )
    except EicctlError as error:
        return failed(error)
    note = ", opted in" if opted == "opted-in" else ""
    return Outcome(Status.OK, f"{session.region}{note}", details={"RegionName": session.region, "OptInStatus": opted})
