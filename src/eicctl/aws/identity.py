"""The caller: who it is, until when, and whether its clock agrees with AWS's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eicctl.aws.errors import translated
from eicctl.aws.session import Session
from eicctl.support.clock import seconds_ahead


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls AWS.

    `expires` is None for long-lived keys, or where the source of the credentials does not report it. `source` is what
    botocore calls the source: `env`, `shared-credentials-file`, `sso`, `assume-role`, …
    """

    arn: str
    account: str
    access_key_id: str
    source: str
    expires: datetime | None = None

    @property
    def lasts(self) -> float | None:
        """Seconds until the credentials expire, or None."""
        return (self.expires - datetime.now(UTC)).total_seconds() if self.expires else None


def caller_identity(session: Session, region: str | None = None) -> Identity:
    """Ask STS who the caller is (GetCallerIdentity, which no policy can forbid).

    Args:
        session: Access to AWS.
        region: Whose STS to ask: it answers where that of the session's region is out of reach; None for the session's.

    Raises:
        CredentialsError: None were found, or AWS rejects them.
        NetworkError: AWS does not respond.
    """
    keys = session.credentials()
    with translated("identify the caller"):
        answer = session.client("sts", region).get_caller_identity()
    return Identity(answer["Arn"], answer["Account"], keys.access_key_id, session.source, keys.expires)


def clock_offset(session: Session) -> float | None:
    """Return by how many seconds this machine's clock is ahead of AWS's, to a second; None if AWS reports no time.

    The request is not signed, so that it is answered whatever the credentials are; the answer is a refusal with a date.

    Raises:
        NetworkError: AWS does not respond.
    """
    from botocore.exceptions import ClientError

    client = session.unsigned_client("sts")
    response: Mapping[str, Any]
    with translated("get AWS's time"):
        try:
            response = client.get_caller_identity()
        except ClientError as refused:
            response = refused.response
    ahead = seconds_ahead(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
    return None if ahead is None else ahead - 0.5  # the header has whole seconds: on average half a one has passed
