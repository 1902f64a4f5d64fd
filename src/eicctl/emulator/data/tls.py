"""A CA and a certificate of the data plane, created at each start."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

_LIFETIME = timedelta(days=30)


def make_context(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """Return a server context for `host` and loopback, and the CA's certificate (PEM file in `folder`) to trust.

    The private keys are in no file when it returns.
    """
    ca = trustme.CA(organization_name="eicctl", organization_unit_name="local CA")
    names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1"))
    certificate = ca.issue_cert(*names, not_after=datetime.now(UTC) + _LIFETIME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    ca_file = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    return context, ca_file


def with_system_cas(ca_file: Path) -> Path:
    """Return a file beside the CA's that has the system's CAs too, for programs that accept one file only."""
    import botocore

    candidates = (
        ssl.get_default_verify_paths().cafile,  # of SSL_CERT_FILE, if that is set
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
        str(Path(botocore.__file__).with_name("cacert.pem")),
    )
    system = next((Path(path).read_bytes() for path in candidates if path and Path(path).is_file()), b"")
    path = ca_file.with_name("trusted.pem")
    path.write_bytes(ca_file.read_bytes() + system)
    return path
