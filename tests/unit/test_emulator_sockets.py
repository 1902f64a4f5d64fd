"""The data plane's certificate: whom it is for, and that nothing secret is left on disk."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from eicctl.emulator.data.sockets import make_context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A TLS handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["eice.example", "localhost", "127.0.0.1", "::1"])
def test_it_is_good_for_its_names(tmp_path: Path, name: str) -> None:
    server, ca = make_context(tmp_path, "eice.example")
    client = ssl.create_default_context(cafile=ca)
    client.verify_flags |= getattr(ssl, "VERIFY_X509_STRICT", 0)  # what Python 3.13 does by default
    shake_hands(server, client, name)


def test_it_is_good_for_no_other(tmp_path: Path) -> None:
    server, ca = make_context(tmp_path, "eice.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake_hands(server, ssl.create_default_context(cafile=ca), "other.example")


def test_another_starts_ca_does_not_do(tmp_path: Path) -> None:
    server, _ = make_context(tmp_path, "localhost")
    other = tmp_path / "other"
    other.mkdir()
    _, ca = make_context(other, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, ssl.create_default_context(cafile=ca), "localhost")


def test_only_the_cas_certificate_is_left(tmp_path: Path) -> None:
    _, ca = make_context(tmp_path, "localhost")
    assert list(tmp_path.iterdir()) == [ca]
    assert b"PRIVATE KEY" not in ca.read_bytes()
