"""Access keys, and the sessions that STS opens with them: GetSessionToken, GetCallerIdentity, and MFA codes (RFC 6238).

moto has these operations, but answers with the keys and the identity of AWS's examples.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from moto.core.responses import ActionResult

from eicctl.emulator.control.backends import ACCOUNT, LOCK, Action, ApiError, accounts, iam, sts
from eicctl.emulator.signature import AccessKey, Lookup

CALLER: ContextVar[AccessKey] = ContextVar("caller")
"""Who has signed the request that this thread of the control plane answers."""


def key_lookup(own: AccessKey) -> Lookup:
    """Return a function that finds an access key by its ID: `own`, or one that moto has issued."""

    def find(access_key_id: str) -> AccessKey | None:
        if access_key_id == own.access_key_id:
            return own
        with LOCK:
            return _of_user(access_key_id) or _temporary(access_key_id)

    return find


def _of_user(access_key_id: str) -> AccessKey | None:
    for user in (user for account in accounts() for user in iam(account).users.values()):
        for key in user.access_keys:
            if key.access_key_id == access_key_id and key.status == "Active":
                return AccessKey(access_key_id, key.secret_access_key, user.arn, "IAMUser", user_id=user.id)
    return None


def _temporary(access_key_id: str) -> AccessKey | None:
    everywhere = (sts(account).get_assumed_role_from_access_key(access_key_id) for account in accounts())
    found = next(filter(None, everywhere), None)
    if found is None or isinstance(found, AccessKey):
        return found
    return AccessKey(
        access_key_id,
        found.secret_access_key,
        found.arn,
        "AssumedRole",
        found.session_token,
        found.expiration,
        found.user_id,
        getattr(found, "mfa_at", None),
    )


STEP = 30
"""Seconds for which a code is the current one."""
USER = "local"
"""The user whose key the emulator hands out."""


def add_device() -> None:
    """Create the IAM user of the emulator's own key, with a device: `arn:aws:iam::ACCOUNT:mfa/local`."""
    with LOCK:
        iam().create_user("us-east-1", USER)
        device = iam().create_virtual_mfa_device(USER, "/")
        iam().enable_mfa_device(USER, device.serial_number, "000000", "000000")


def own_code(now: datetime) -> dict[str, str]:
    """Return the local user's device and a code of it that is valid now and unused; empty if none exists.

    It is the current one, or the next, which is accepted already. Either is valid for at least half a minute.
    """
    with LOCK:
        for device in iam().virtual_mfa_devices.values():
            if device.user is not None and device.user.name == USER:
                free = [step for step in _near(now)[1:] if step > getattr(device, "last_step", 0)]
                code = _code(device.base32_string_seed, free[0]) if free else ""
                return {"SerialNumber": device.serial_number, "Code": code}
    return {"SerialNumber": "", "Code": ""}


def list_devices(moto: Action, response: Any) -> Any:
    """ListMFADevices: without a name, those of the caller, whom moto does not know."""
    if not response._get_param("UserName"):
        name = CALLER.get().arn.rpartition("/")[2]
        with LOCK:
            rows = [
                {"UserName": name, "SerialNumber": device.serial_number, "EnableDate": device.enable_date}
                for user in iam().users.values()
                if user.arn == CALLER.get().arn
                for device in user.mfa_devices.values()
            ]
        return ActionResult({"MFADevices": rows, "IsTruncated": False})
    return moto(response)


def check_mfa(caller: AccessKey, serial: str, code: str, now: datetime) -> bool:
    """Return whether the caller proved MFA with a code that is valid now and has not been used.

    Raises:
        ApiError: A code is given that is wrong or used, or a device that is not the caller's, or one without the other.
    """
    if not serial and not code:
        return False
    if not serial or not code:
        raise _failed(", must provide both MFA serial number and one time pass code.")
    with LOCK:
        device = iam().virtual_mfa_devices.get(serial)
        if device is None or device.user is None or device.user.arn != caller.arn:
            raise _failed(
                ", unable to validate MFA code.  Please verify your MFA serial number is valid and associated with "
                "this user."
            )
        last = getattr(device, "last_step", 0)
        for step in _near(now):
            if step > last and hmac.compare_digest(_code(device.base32_string_seed, step), code):
                device.last_step = step
                return True
    raise _failed(" with invalid MFA one time pass code. ")


def _failed(how: str) -> ApiError:
    return ApiError("AccessDenied", f"MultiFactorAuthentication failed{how}")


def _near(now: datetime) -> list[int]:
    step = int(now.timestamp()) // STEP
    return [step - 1, step, step + 1]


def _code(seed: str, step: int) -> str:
    key = base64.b32decode(seed + "=" * (-len(seed) % 8))
    return HOTP(key, 6, SHA1(), enforce_key_length=False).generate(step).decode()  # noqa: S303 - RFC 6238


DURATIONS = range(900, 129_601)
"""Seconds for which a session may last (docs/explanation/protocol.md#mfa-sessions)."""
DEFAULT_DURATION = 43_200
OWN_ARN = f"arn:aws:iam::{ACCOUNT}:user/local"
"""The user whose keys `eicctl local env` prints; it is not among IAM's users and may do everything."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def check_request(caller: AccessKey, seconds: int) -> None:
    """Check what GetSessionToken checks before the MFA code.

    Raises:
        ApiError: They would last too long or too short, or the caller has temporary ones.
    """
    if seconds not in DURATIONS:
        raise ApiError("ValidationError", f"DurationSeconds must be from {DURATIONS.start} to {DURATIONS.stop - 1}.")
    if caller.session_token:
        raise ApiError("AccessDenied", "Cannot call GetSessionToken with session credentials")


def open_session(caller: AccessKey, seconds: int, now: datetime, *, mfa: bool = False) -> AccessKey:
    """Return new temporary credentials for the caller, valid for `seconds`, created with MFA or not."""
    now = now.replace(tzinfo=None, microsecond=0)
    session = AccessKey(
        access_key_id="ASIA" + "".join(secrets.choice(_LETTERS) for _ in range(16)),
        secret_access_key=secrets.token_urlsafe(30),
        session_token=secrets.token_urlsafe(120),
        expiration=now + timedelta(seconds=seconds),
        arn=caller.arn,
        kind="IAMUser",
        user_id=_user_id(caller),
        mfa_at=now if mfa else None,
    )
    sts(caller.account).assumed_roles.append(session)
    return session


def caller_identity(caller: AccessKey) -> dict[str, Any]:
    """Answer GetCallerIdentity."""
    return {"UserId": _user_id(caller), "Account": caller.account, "Arn": caller.arn}


def _user_id(caller: AccessKey) -> str:
    return caller.user_id or f"AIDA{caller.access_key_id[4:]}"
