"""GetSessionToken and GetCallerIdentity: moto has them, but with the keys and the identity of AWS's examples."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from eicctl.emulator.control.backends import ACCOUNT, ApiError, sts
from eicctl.emulator.control.credentials import Known

DURATIONS = range(900, 129_601)
"""Seconds for which a session may last (docs/explanation/protocol.md#mfa-sessions)."""
DEFAULT_DURATION = 43_200
OWN_ARN = f"arn:aws:iam::{ACCOUNT}:user/local"
"""The user whose keys `eicctl local env` prints; it is not among IAM's users and may do everything."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials of a user. The names are those that moto gives an assumed role, in whose list they are."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime
    arn: str
    user_id: str
    kind: str = "IAMUser"
    account_id: str = ACCOUNT
    mfa_at: datetime | None = None


def check_request(caller: Known, seconds: int) -> None:
    """Refuse what GetSessionToken refuses before it looks at a code.

    Raises:
        ApiError: They would last too long or too short, or the caller has temporary ones.
    """
    if seconds not in DURATIONS:
        raise ApiError("ValidationError", f"DurationSeconds must be from {DURATIONS.start} to {DURATIONS.stop - 1}.")
    if caller.session_token:
        raise ApiError("AccessDenied", "Cannot call GetSessionToken with session credentials")


def open_session(caller: Known, seconds: int, now: datetime, *, mfa: bool = False) -> Session:
    """Return new temporary credentials for the caller, good for some seconds, and made with MFA or not."""
    now = now.replace(tzinfo=None, microsecond=0)
    session = Session(
        access_key_id="ASIA" + "".join(secrets.choice(_LETTERS) for _ in range(16)),
        secret_access_key=secrets.token_urlsafe(30),
        session_token=secrets.token_urlsafe(120),
        expiration=now + timedelta(seconds=seconds),
        arn=caller.arn,
        user_id=_user_id(caller),
        mfa_at=now if mfa else None,
    )
    sts().assumed_roles.append(session)
    return session


def identity(caller: Known) -> dict[str, Any]:
    """Answer GetCallerIdentity."""
    return {"UserId": _user_id(caller), "Account": ACCOUNT, "Arn": caller.arn}


def _user_id(caller: Known) -> str:
    return caller.user_id or f"AIDA{caller.access_key_id[4:]}"
