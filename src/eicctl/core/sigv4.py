"""AWS's Signature Version 4, by the standard library: importing botocore's signer takes longer than a TLS handshake.

The tests compare each signature with botocore's.
"""

from __future__ import annotations

import hashlib
import hmac

from eicctl.core.model import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"


def signature(credentials: Credentials, moment: str, scope: str, canonical: str) -> str:
    """Return the signature of a canonical request.

    Args:
        credentials: Who signs.
        moment: The time of signing: `20260101T000000Z`.
        scope: `DATE/REGION/SERVICE/aws4_request`.
        canonical: The canonical request.
    """
    to_sign = "\n".join((ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
