"""Whose credentials they are, until when, and whether this machine's clock agrees with AWS's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from eicctl.aws.errors import translated
from eicctl.aws.session import Session


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls AWS.

    `expires` is None for long-lived keys, or where the source of the credentials does not tell. `source` is what
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
    """Ask AWS whose the credentials are (STS GetCallerIdentity, which no policy can forbid).

    Args:
        session: Access to AWS.
        region: Whose STS to ask: it answers where that of the session's region is out of reach; None for the session's.

    Raises:
        CredentialsError: There are none, or AWS does not accept them.
        NetworkError: AWS does not answer.
    """
    keys = session.credentials()
    with translated("ask AWS whose the credentials are"):
        answer = session.client("sts", region).get_caller_identity()
    return Identity(answer["Arn"], answer["Account"], keys.access_key_id, session.source, keys.expires)


def clock_offset(session: Session) -> float | None:
    """Return by how many seconds this machine's clock is ahead of AWS's, to a second; None where AWS does not say.

    The request is not signed, so that it is answered whatever the credentials are; the answer is a refusal with a date.

    Raises:
        NetworkError: AWS does not answer.
    """
    from botocore.exceptions import ClientError

    client = session.unsigned_client("sts")
    sent = time.time()
    answer: Any
    with translated("ask AWS for the time"):
        try:
            answer = client.get_caller_identity()
        except ClientError as refused:
            answer = refused.response
    received = time.time()
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        theirs = parsedate_to_datetime(said).timestamp()
    except ValueError:
        return None
    # The header has whole seconds: on average half a one has passed.
    return (sent + received) / 2 - (theirs + 0.5)
