"""The way from here to an endpoint, and this machine as others see it: with proxies, and with servers of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from eicctl.doctor import context as doctor_context
from eicctl.emulator.data.sockets import make_context
from eicctl.emulator.server import Emulator
from eicctl.tunnel.trace import walk
from tests.integration.test_tunnel_proxies import connect_proxy, running


@pytest.fixture
def dns_name(emulator: Emulator) -> str:
    return f"localhost:{emulator.data_port}"


def test_through_a_proxy(emulator: Emulator, dns_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with running(connect_proxy("me:s3cret", seen)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cret@127.0.0.1:{port}")
        way = walk(dns_name, str(emulator.ca_file))
    assert way.error is None
    assert [stage.name for stage in way.stages] == ["proxy", "TLS"]
    assert "s3cret" not in str(way)
    assert seen == [f"CONNECT {dns_name}"]


def test_an_untrusted_certificate_is_fetched_through_the_proxy_too(
    dns_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with running(connect_proxy(None, seen)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        way = walk(dns_name, None)
    assert way.failed == "TLS"
    assert way.certificate
    assert way.certificate.issuer == "eicctl"
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("ftp://127.0.0.1:9", "not a URL that eicctl can use"),
        ("http://127.0.0.1:9", "127.0.0.1:9 cannot be used"),
    ],
)
def test_a_bad_proxy(dns_name: str, monkeypatch: pytest.MonkeyPatch, proxy: str, said: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    way = walk(dns_name, None)
    assert way.failed == "proxy"
    assert way.error
    assert said in way.error.message


def test_a_ca_bundle_that_is_not_there(dns_name: str, tmp_path: Path) -> None:
    way = walk(dns_name, str(tmp_path / "none.pem"))
    assert way.failed == "TLS"
    assert way.error
    assert "none.pem" in way.error.message


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], str]]:
    """A server in place of the one that tells addresses; takes its answer, gives the CA file to trust."""
    context, ca_file = make_context(tmp_path, "localhost")
    told = b""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setattr(doctor_context, "CHECK_IP_SERVICE", f"https://localhost:{server.server_port}/")

        def answer(text: bytes) -> str:
            nonlocal told
            told = text
            return str(ca_file)

        yield answer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("text", "address"),
    [(b"203.0.113.7\n", "203.0.113.7"), (b"2001:db8::1\n", None), (b"<html>log in first</html>", None), (b"", None)],
)
def test_the_public_address(home: Path, answers: Callable[[bytes], str], text: bytes, address: str | None) -> None:
    assert doctor_context.public_address(answers(text)) == address


def test_an_answer_that_is_not_trusted_is_none(home: Path, answers: Callable[[bytes], str]) -> None:
    answers(b"203.0.113.7\n")
    assert doctor_context.public_address(None) is None
    assert doctor_context.public_address("/no/such/bundle") is None
