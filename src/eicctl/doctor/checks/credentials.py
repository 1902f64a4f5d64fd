"""Whose credentials these are, and how long they last."""

from __future__ import annotations

from eicctl.aws.identity import Identity, caller_identity
from eicctl.aws.regions import no_such_region
from eicctl.core.errors import NetworkError
from eicctl.doctor.check import Check, Outcome, Segment, Status, always, duration
from eicctl.doctor.context import Context

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


def run(context: Context) -> Outcome:
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


CHECK = Check(
    key="credentials",
    title="Credentials",
    order=10,
    run=run,
    applies=always,
    segment=Segment.LOCAL,
    step="credentials",
    inspects="whose they are, where they are from, how long they last",
)
