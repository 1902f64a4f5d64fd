"""The emulator's proxy for clients that always dial port 443."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest

from eicctl.core.model import Credentials, Target
from eicctl.emulator.server import Emulator
from eicctl.tunnel.sign import presign


def asked(emulator: Emulator, head: bytes) -> tuple[socket.socket, bytes]:
    """The connection to the proxy, and the first line of its answer."""
    where = urlsplit(emulator.aws_cli_env["HTTPS_PROXY"])
    sock = socket.create_connection((where.hostname or "", where.port or 0), 10)
    sock.sendall(head)
    answer = b""
    while b"\r\n\r\n" not in answer and (data := sock.recv(1)):
        answer += data
    return sock, answer.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT localhost:22 HTTP/1.1\r\n\r\n",
        b"CONNECT localhost:99999 HTTP/1.1\r\n\r\n",
        b"GET http://localhost/ HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_it_leads_nowhere_else(emulator: Emulator, head: bytes) -> None:
    sock, answer = asked(emulator, head)
    sock.close()
    assert answer == b"HTTP/1.1 403 Forbidden"


def test_a_client_that_leaves_the_port_out_of_its_host(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    """As the AWS CLI: the URL is signed for the DNS name with its port, and the Host header has the name alone."""
    key = Credentials(emulator.env["AWS_ACCESS_KEY_ID"], emulator.env["AWS_SECRET_ACCESS_KEY"])
    target = Target("10.0.1.10", 22, endpoint["InstanceConnectEndpointId"], endpoint["DnsName"], "us-east-1")
    url = urlsplit(presign(target, key))
    sock, answer = asked(emulator, b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    context = ssl.create_default_context(cafile=emulator.aws_cli_env["SSL_CERT_FILE"])
    with context.wrap_socket(sock, server_hostname="localhost") as stream:
        lines = [
            f"GET {url.path}?{url.query} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        seen = b""
        while b"SSH-2.0-" not in seen and (data := stream.recv(4096)):
            seen += data
    assert seen.startswith(b"HTTP/1.1 101 ")
    assert b"SSH-2.0-" in seen


def test_the_trusted_file_has_the_systems_cas_too(emulator: Emulator) -> None:
    context = ssl.create_default_context(cafile=emulator.aws_cli_env["SSL_CERT_FILE"])
    assert len(context.get_ca_certs()) > 10
