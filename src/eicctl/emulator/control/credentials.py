"""Whose access key is it: the emulator's own, an IAM user's, or a temporary one."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime

from eicctl.emulator.control.backends import LOCK, iam, sts


@dataclass(frozen=True, slots=True)
class Known:
    """An access key that the emulator accepts. `expires` (UTC, without a zone) is None for a long-lived one.

    `mfa_at` is when MFA was proved for a temporary one (UTC, without a zone); None where it was not.
    """

    access_key_id: str
    secret: str = field(repr=False)
    arn: str
    kind: str
    session_token: str = field(default="", repr=False)
    expires: datetime | None = None
    user_id: str = ""
    mfa_at: datetime | None = None

    @property
    def mfa(self) -> bool:
        """Whether it was made with MFA."""
        return self.mfa_at is not None


CALLER: ContextVar[Known] = ContextVar("caller")
"""Who has signed the request that this thread of the control plane answers."""

Lookup = Callable[[str], Known | None]


def lookup(own: Known) -> Lookup:
    """Return a function that finds an access key by its ID: `own`, or one that moto has issued."""

    def find(access_key_id: str) -> Known | None:
        if access_key_id == own.access_key_id:
            return own
        with LOCK:
            return _of_user(access_key_id) or _temporary(access_key_id)

    return find


def _of_user(access_key_id: str) -> Known | None:
    for user in iam().users.values():
        for key in user.access_keys:
            if key.access_key_id == access_key_id and key.status == "Active":
                return Known(access_key_id, key.secret_access_key, user.arn, "IAMUser", user_id=user.id)
    return None


def _temporary(access_key_id: str) -> Known | None:
    session = sts().get_assumed_role_from_access_key(access_key_id)
    if session is None:
        return None
    return Known(
        access_key_id,
        session.secret_access_key,
        session.arn,
        getattr(session, "kind", "AssumedRole"),
        session.session_token,
        session.expiration,
        session.user_id,
        getattr(session, "mfa_at", None),
    )
