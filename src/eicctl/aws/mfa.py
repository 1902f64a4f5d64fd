"""MFA sessions: the device, the code, GetSessionToken."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from eicctl.aws.credentials import checked_code
from eicctl.aws.errors import translated
from eicctl.aws.identity import caller_identity
from eicctl.aws.profile_files import SETTINGS, check_name, check_writable, store
from eicctl.aws.session import Session
from eicctl.core.errors import AmbiguousError, CredentialsError, DeniedError, NotFoundError, UsageError
from eicctl.core.model import Credentials
from eicctl.support.redact import register

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient
    from mypy_boto3_sts.type_defs import CredentialsTypeDef


DURATIONS = range(900, 129_601)
"""Seconds that a session may last (docs/explanation/protocol.md#mfa-sessions)."""
ROOT_DURATIONS = range(900, 3_601)
"""The same for the root user."""

_SERIAL = re.compile(r"[A-Za-z0-9_+=/:,.@-]{9,256}")
"""An MFA device's ARN or serial number (`SerialNumber` of GetSessionToken in AWS's API)."""


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that works. `arn` is its caller's, by GetCallerIdentity."""

    profile: str
    arn: str
    expires: datetime


def login(
    session: Session, *, into: str | None, serial: str | None, duration: int | None, code: Callable[[str], str]
) -> OpenedSession:
    """Open an MFA session with the keys of a profile, store it in a profile of its own, and try it.

    Args:
        session: The profile with long-lived keys.
        into: The session's profile; None for the base's name and `-mfa`.
        serial: ARN or serial number of the device; None for the profile's `mfa_serial`, or the caller's only device.
        duration: Seconds; None for the service's default.
        code: Tells the six digits; takes the device. It is asked when all else is in order.

    Raises:
        UsageError: The duration, the name, the device or the code cannot be right. No code has been sent.
        CredentialsError: The profile's keys are temporary, or not good.
        DeniedError: The code is not accepted.
    """
    base = session.profile_name
    profile = into or f"{base}-mfa"
    check_name(profile, base)
    check_duration(duration, DURATIONS, "")
    settings = session.profile_settings()
    device = serial if serial is not None else settings.get("mfa_serial", "")
    if (serial is not None or device) and not _SERIAL.fullmatch(device):
        raise UsageError(
            f"Invalid MFA device {device!r}", hint="eicctl mfa login --serial arn:aws:iam::ACCOUNT:mfa/NAME"
        )
    _check_keys(session, base, settings)
    if caller_identity(session).arn.endswith(":root"):
        check_duration(duration, ROOT_DURATIONS, " for the root user")
    check_writable()
    device = device or _device(session)
    digits = checked_code(code(device))
    keys = _open(session.client("sts"), device, digits, duration)
    kept = {name: settings[name] for name in SETTINGS if name in settings}
    kept.setdefault("region", session.region)
    if session.given_ca_bundle:
        kept["ca_bundle"] = session.given_ca_bundle
    expires = keys["Expiration"]
    stored = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], expires)
    store(profile, base, stored, kept)
    fresh = Session(profile=profile, fips=session.given_fips)
    return OpenedSession(profile, caller_identity(fresh).arn, expires)


def check_duration(seconds: int | None, allowed: range, whom: str) -> None:
    """Refuse a duration that the service would refuse."""
    if seconds is not None and seconds not in allowed:
        raise UsageError(f"--duration must be from {allowed.start} to {allowed.stop - 1} seconds{whom}, not {seconds}")


def _check_keys(session: Session, base: str, settings: Mapping[str, str]) -> None:
    hint = "--profile with a user's long-lived keys"
    if "role_arn" in settings:
        source = settings.get("source_profile")
        raise UsageError(
            f'Profile "{base}" assumes a role, whose session cannot open another one',
            hint=f"--profile {source}" if source else hint,
        )
    if session.credentials().session_token:
        raise CredentialsError(
            f'The keys of profile "{base}" are temporary; an MFA session requires a user\'s long-lived keys', hint=hint
        )


def _device(session: Session) -> str:
    try:
        with translated("list the MFA devices"):
            rows = session.client("iam").list_mfa_devices()["MFADevices"]
    except DeniedError as error:
        error.hint = f"--serial ARN, or mfa_serial in the profile; else {error.hint}"
        raise
    found = [str(row["SerialNumber"]) for row in rows]
    if not found:
        raise NotFoundError("The user has no MFA device", hint="enable one in IAM, or specify --serial ARN")
    if len(found) > 1:
        raise AmbiguousError(f"The user has multiple MFA devices: {', '.join(found)}", hint="specify one: --serial ARN")
    return found[0]


def _open(sts: STSClient, device: str, code: str, duration: int | None) -> CredentialsTypeDef:
    lasting = {} if duration is None else {"DurationSeconds": duration}
    with translated("open an MFA session"):
        keys = sts.get_session_token(SerialNumber=device, TokenCode=code, **lasting)["Credentials"]
    register(keys["SecretAccessKey"], keys["SessionToken"])
    return keys
