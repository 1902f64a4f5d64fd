"""TLS to the endpoint: always verified."""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

from eicctl.errors import LocalError

_MOST = 20


@dataclass(frozen=True, slots=True)
class Trust:
    """What the connections of a process share: reading the system's CAs takes longer than a handshake.

    Attributes:
        context: Whom to trust.
        sessions: The last session with each host and port, to be resumed.
    """

    context: ssl.SSLContext
    sessions: dict[tuple[str, int], ssl.SSLSession] = field(default_factory=dict)


_known: dict[tuple[object, ...], Trust] = {}
_lock = threading.Lock()


def trust(ca_bundle: str | None) -> Trust:
    """Return what is trusted, as `context` says; the same object as before unless the file has changed meanwhile."""
    key: tuple[object, ...] = (ca_bundle, *(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")))
    if ca_bundle is not None:
        try:
            status = Path(ca_bundle).stat()
            key += (status.st_mtime_ns, status.st_size, status.st_ino)
        except (OSError, ValueError):
            return Trust(context(ca_bundle))  # which says what is wrong
    with _lock:
        if key not in _known:
            while len(_known) >= _MOST:
                _known.pop(next(iter(_known)))
            _known[key] = Trust(context(ca_bundle))
        return _known[key]


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
