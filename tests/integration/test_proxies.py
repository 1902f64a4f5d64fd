"""Dialling through proxies: HTTP CONNECT and SOCKS5, with and without a password."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from eicctl import errors

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]


def relay(first: socket.socket, second: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=carry, args=(second, first), daemon=True)
    thread.start()
    carry(first, second)
    thread.join()


def connect_proxy(password: str | None, seen: list[str]) -> Callable[[socket.socket], None]:
    """An HTTP proxy."""

    def handle(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        lines = head.decode().split("\r\n")
        seen.append(lines[0].rsplit(" ", 1)[0])
        expected = base64.b64encode((password or "").encode()).decode()
        if password and f"Proxy-Authorization: Basic {expected}" not in lines:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = lines[0].split(" ")[1].rpartition(":")
        with socket.create_connection((host, int(port))) as target:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            relay(client, target)

    return handle


def socks_proxy(seen: list[str]) -> Callable[[socket.socket], None]:
    """A SOCKS5 proxy (RFC 1928) that resolves names itself."""

    def handle(client: socket.socket) -> None:
        client.recv(client.recv(2)[1])
        client.sendall(b"\x05\x00")
        _, _, _, kind = client.recv(4)
        host = client.recv(client.recv(1)[0]).decode() if kind == 3 else socket.inet_ntoa(client.recv(4))
        port = int.from_bytes(client.recv(2), "big")
        seen.append(f"{host}:{port}")
        with socket.create_connection((host, port)) as target:
            client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            relay(client, target)

    return handle


@contextlib.contextmanager
def running(handler: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection after the other; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, contextlib.suppress(OSError):
                    handler(client)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def hello(client: socket.socket) -> None:
    client.sendall(b"hello")
    client.recv(1)


def first_bytes(service: Service) -> bytes:
    from eicctl.tunnel.probe import probe

    return probe(service.dialer).banner


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_http_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    seen: list[str] = []
    service = serve(hello)
    with running(connect_proxy(None, seen)) as port:
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert first_bytes(service) == b"hello"
    assert seen == [f"CONNECT {service.target.endpoint_dns_name}"]


def test_http_proxy_with_a_password(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve(hello)
    with running(connect_proxy("me:s3cret/x", [])) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cret%2Fx@127.0.0.1:{port}")
        assert first_bytes(service) == b"hello"
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:other@127.0.0.1:{port}")
        with pytest.raises(errors.NetworkError, match="HTTP 407") as told:
            service.dialer.open(retry_budget=0)
    assert "other" not in f"{told.value} {told.value.hint}"


def test_no_proxy_excludes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert first_bytes(serve(hello)) == b"hello"


def test_socks_proxy_resolves_names(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    service = serve(hello)
    with running(socks_proxy(seen)) as port:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
        assert first_bytes(service) == b"hello"
    assert seen == [service.target.endpoint_dns_name]


def test_a_proxy_that_is_not_there(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve(hello)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(errors.NetworkError, match=r"proxy 127\.0\.0\.1:9 cannot be used"):
        service.dialer.open(retry_budget=0)
