"""Whose access key is it: the emulator's own, an IAM user's, or a temporary one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from eicctl.emulator.control.backends import ACCOUNT


@dataclass(frozen=True, slots=True)
class Known:
    """An access key that the emulator accepts. `expires` is None for a long-lived one."""

    access_key_id: str
    secret: str = field(repr=False)
    arn: str
    kind: str
    session_token: str = field(default="", repr=False)
    expires: datetime | None = None


Lookup = Callable[[str], Known | None]


def lookup(own: Known) -> Lookup:
    """Return a function that finds an access key by its ID: `own`, or one that moto has issued."""

    def find(access_key_id: str) -> Known | None:
        if access_key_id == own.access_key_id:
            return own
        return _of_user(access_key_id) or _temporary(access_key_id)

    return find


def _of_user(access_key_id: str) -> Known | None:
    for user in iam_backends[ACCOUNT]["aws"].users.values():
        for key in user.access_keys:
            if key.access_key_id == access_key_id and key.status == "Active":
                return Known(access_key_id, key.secret_access_key, user.arn, "IAMUser")
    return None


def _temporary(access_key_id: str) -> Known | None:
    backend = sts_backends[ACCOUNT]["aws"]
    for role in getattr(backend, "assumed_roles", []):
        if role.access_key_id == access_key_id:
            return Known(
                access_key_id, role.secret_access_key, role.arn, "AssumedRole", role.session_token, role.expiration
            )
    return None
