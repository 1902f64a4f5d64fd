"""SigV4 checked with botocore's signer: the emulator shares no signing code with the client."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from eicctl.emulator.state import State

SKEW = timedelta(minutes=5)
"""By how much a request's time may differ from the emulator's."""

TUNNEL_SERVICE = "ec2-instance-connect"
_DATE = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key that the emulator accepts, with the attributes of moto's assumed roles, in whose list sessions are.

    `expiration` (UTC, without a zone) is None for a long-lived one. `mfa_at` is when MFA was proved for a temporary one
    (UTC, without a zone); None if it was not.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    arn: str
    kind: str
    session_token: str = field(default="", repr=False)
    expiration: datetime | None = None
    user_id: str = ""
    mfa_at: datetime | None = None

    @property
    def account(self) -> str:
        """The account of the caller."""
        return self.arn.split(":")[4]

    @property
    def mfa(self) -> bool:
        """Whether MFA was used to create it."""
        return self.mfa_at is not None


Lookup = Callable[[str], AccessKey | None]
"""Finds an access key by its ID."""


class Rejected(Exception):
    """A request that is answered with an error.

    Args:
        code: An AWS error code; the service's own for signatures are not documented.
        message: The message.
        status: The HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Verifier:
    """Checks signatures against the access keys that exist.

    Args:
        state: Has the emulator's time.
        lookup: Finds an access key.
    """

    def __init__(self, state: State, lookup: Lookup) -> None:
        self._state = state
        self._lookup = lookup

    def verify_query(self, host: str, path: str, query: str) -> AccessKey:
        """Check a presigned GET of the data plane; return whose key has signed it.

        Args:
            host: The `Host` header.
            path: The path.
            query: The query as it was sent.

        Raises:
            Rejected: It is not signed, or not well.
        """
        fields = dict(parse_qsl(query, keep_blank_values=True))
        try:
            signature = fields["X-Amz-Signature"]
            access_key_id, _, region, service, _ = fields["X-Amz-Credential"].split("/")
            signed_at = datetime.strptime(fields["X-Amz-Date"], _DATE).replace(tzinfo=UTC)
            lifetime = timedelta(seconds=int(fields["X-Amz-Expires"]))
        except (KeyError, ValueError):
            raise Rejected("MissingAuthenticationTokenException", "The request is not signed.") from None
        known = self._known(access_key_id, fields.get("X-Amz-Security-Token", ""))
        if service != TUNNEL_SERVICE:
            raise Rejected("SignatureDoesNotMatch", f"Credential should be scoped to service '{TUNNEL_SERVICE}'.")
        unsigned = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))
        request = AWSRequest("GET", f"https://{host}{path}?{unsigned}")
        request.context["timestamp"] = fields["X-Amz-Date"]
        auth = SigV4QueryAuth(Credentials(known.access_key_id, known.secret_access_key), service, region)
        _compare(auth, request, signature)
        now = self._state.now()
        if signed_at > now + SKEW:
            raise Rejected("SignatureDoesNotMatch", f"Signature not yet current: {signed_at} is later than {now}.")
        if now > signed_at + lifetime:
            raise Rejected("SignatureDoesNotMatch", f"Signature expired: {signed_at + lifetime} is earlier than {now}.")
        return known

    def verify_header(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> AccessKey:
        """Check an API request of the control plane; return whose key has signed it.

        Args:
            method: The HTTP method.
            path: The path, quoted.
            query: The query as it was sent.
            headers: All headers, with names in lower case.
            body: The body.

        Raises:
            Rejected: It is not signed, or not well.
        """
        try:
            algorithm, _, rest = headers["authorization"].partition(" ")
            fields = dict(part.strip().split("=", 1) for part in rest.split(","))
            access_key_id, _, region, service, _ = fields["Credential"].split("/")
            signed = fields["SignedHeaders"].split(";")
            signature = fields["Signature"]
            moment = headers["x-amz-date"]
            signed_at = datetime.strptime(moment, _DATE).replace(tzinfo=UTC)
        except (KeyError, ValueError):
            raise Rejected("MissingAuthenticationToken", "Request is missing Authentication Token") from None
        known = self._known(access_key_id, headers.get("x-amz-security-token", ""))
        if algorithm != "AWS4-HMAC-SHA256" or abs(self._state.now() - signed_at) > SKEW * 3:
            raise Rejected("RequestExpired", "Request has expired.")
        url = f"http://{headers.get('host', '')}{path}" + (f"?{query}" if query else "")
        request = AWSRequest(method, url, headers={name: headers.get(name, "") for name in signed}, data=body)
        request.context["timestamp"] = moment
        # S3 signs paths as they are sent, and trusts the header for the body's hash.
        kind = S3SigV4Auth if service == "s3" else SigV4Auth
        auth = kind(Credentials(known.access_key_id, known.secret_access_key), service, region)
        _compare(auth, request, signature)
        return known

    def _known(self, access_key_id: str, session_token: str) -> AccessKey:
        known = self._lookup(access_key_id)
        if known is None or not hmac.compare_digest(known.session_token, session_token):
            raise Rejected("UnrecognizedClientException", "The security token included in the request is invalid.")
        if known.expiration and known.expiration.replace(tzinfo=UTC) < self._state.now():
            raise Rejected("ExpiredTokenException", "The security token included in the request is expired.")
        return known


def _compare(auth: SigV4Auth, request: AWSRequest, signature: str) -> None:
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if not hmac.compare_digest(expected, signature):
        raise Rejected(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
