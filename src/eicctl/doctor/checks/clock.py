"""Whether this machine's clock is right enough for signatures."""

from __future__ import annotations

from eicctl.aws.identity import clock_offset
from eicctl.core.errors import CredentialsError, EicctlError, NetworkError
from eicctl.doctor.check import Check, Outcome, Segment, Status, always, duration, not_checked
from eicctl.doctor.context import Context
from eicctl.support import clock
from eicctl.tunnel.errors import BEHIND


def run(context: Context) -> Outcome:
    """Compare this machine's clock with the date of a response of AWS."""
    try:
        ahead = clock_offset(context.session)
    except NetworkError:
        return Outcome(Status.UNKNOWN, "AWS did not respond, so its time is unknown")
    except EicctlError as error:
        return not_checked(error)
    return clock_outcome(ahead)


def clock_outcome(ahead: float | None) -> Outcome:
    """Return the outcome for a clock that is so many seconds ahead of AWS's; None where that is not known."""
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


CHECK = Check(
    key="clock",
    title="Clock",
    order=20,
    run=run,
    applies=always,
    segment=Segment.LOCAL,
    step="clock",
    inspects="this machine's against the date of a response of AWS",
)
