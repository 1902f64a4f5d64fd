"""TLS to the endpoint: always verified."""

from __future__ import annotations

import ssl
from pathlib import Path

from eicctl.errors import LocalError


def context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return a client context that trusts the system's CAs, or those in the file (PEM) or folder `ca_bundle`.

    Raises:
        LocalError: The bundle cannot be read, or holds no certificate.
    """
    if ca_bundle is None:
        return ssl.create_default_context()
    try:
        if Path(ca_bundle).is_dir():
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        why = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise LocalError(
            f"cannot read the CA bundle {ca_bundle}: {why}",
            hint="it comes from --ca-bundle, AWS_CA_BUNDLE, or ca_bundle of the profile",
        ) from error
