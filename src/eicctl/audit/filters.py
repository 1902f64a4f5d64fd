"""The filter of an audit, from the command's options. Pure; no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from eicctl.audit.correlation import AFTER, BEFORE, Row
from eicctl.audit.records import Event
from eicctl.core.errors import UsageError

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows to show; an empty value means all.

    Attributes:
        since: From this time on.
        until: Before this time.
        user: The caller: ARN, name, `role/session`, session name or access key.
        target: Instance ID, Name tag or address.
        endpoint: ID or Name tag of the endpoint.
        denied: Only refused calls.

    Values may have `*` and `?`; case does not matter.
    """

    since: datetime | None = None
    until: datetime | None = None
    user: str = ""
    target: str = ""
    endpoint: str = ""
    denied: bool = False

    def may_need(self, event: Event) -> bool:
        """Whether an event may match, also as the key of a tunnel that does."""
        return (
            (self.since is None or event.time >= self.since - BEFORE)
            and (self.until is None or event.time <= self.until + AFTER)
            and self._is_user(event)
        )

    def has(self, row: Row) -> bool:
        """Whether a row matches."""
        event = row.event
        return (
            (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
            and self._is_user(event)
            and _fits(self.target, (row.instance_id, row.instance_name, event.address))
            and _fits(self.endpoint, (event.endpoint_id, row.endpoint_name))
            and (not self.denied or event.refused)
        )

    def describe(self) -> str:
        """The filters besides the time, for people; empty without any."""
        filters = (("user", self.user), ("target", self.target), ("endpoint", self.endpoint))
        found = [f"{name} {value}" for name, value in filters if value]
        return ", ".join([*found, "refused calls only"] if self.denied else found)

    def _is_user(self, event: Event) -> bool:
        who = event.principal
        return not self.user or _fits(self.user, (who.arn, who.name, who.label, who.session, who.access_key_id))


def _fits(pattern: str, names: Iterable[str]) -> bool:
    return not pattern or any(name and fnmatchcase(name.lower(), pattern.lower()) for name in names)


def moment(text: str, now: datetime, option: str) -> datetime:
    """Return the time that an option specifies, in UTC.

    Args:
        text: `24h`, `7d`, `30m` or `2w` ago; a date, from local midnight; or an ISO 8601
            time, local if it has no zone.
        now: The time, with a zone.
        option: The option, for errors.

    Raises:
        UsageError: It is invalid.
    """
    try:
        if ago := _AGO.fullmatch(text.strip().lower()):
            return now.astimezone(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.astimezone()).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"Invalid {option} {text!r}",
            hint="use 24h, 7d, 30m or 2w; a date, 2026-11-20; or a time, 2026-11-20T08:30 (local) or …Z (UTC)",
        ) from None
