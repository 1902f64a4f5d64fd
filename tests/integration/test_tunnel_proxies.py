"""Dialling through proxies: HTTP CONNECT and SOCKS5, with and without a password."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from eicctl.aws.instance_connect import send_ssh_public_key
from eicctl.aws.instances import list_instances
from eicctl.aws.session import Session
from eicctl.core import errors
from tests.processes import run
from tests.unit.test_ssh_host_keys import ED

if TYPE_CHECKING:
    from eicctl.emulator.server import Emulator
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
        method, where, _ = lines[0].split(" ")
        if method != "CONNECT":  # for a URL without TLS
            url = urlsplit(where)
            with socket.create_connection((url.hostname, url.port)) as target:
                target.sendall(head)
                relay(client, target)
            return
        host, _, port = where.rpartition(":")
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
    """Serve connections, each in a thread; give the port."""

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError, IndexError):
            handler(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

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


def web_1() -> str:
    (found,) = list_instances(Session(), filters={"tag:Name": ["web-1"]})
    return found.id


@pytest.mark.parametrize(("name", "kind"), [("ALL_PROXY", "socks5h"), ("ALL_PROXY", "http"), ("both", "socks5")])
def test_both_planes_use_the_same_proxy(
    emulator: Emulator, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    seen: list[str] = []
    api = emulator.url.removeprefix("http://")
    with running(connect_proxy(None, seen) if kind == "http" else socks_proxy(seen)) as port:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY") if name == "both" else (name,):
            monkeypatch.setenv(variable, f"{kind}://127.0.0.1:{port}")
        ran = run("doctor", "web-1")
        instance_id = web_1()
        before = len(seen)
        send_ssh_public_key(Session(), instance_id=instance_id, os_user="ec2-user", public_key=ED)
    assert ran.returncode in (0, 5), ran.stdout
    assert any(api in one for one in seen)
    assert any(api in one for one in seen[before:])
    data = endpoint["DnsName"] if kind != "socks5" else f"127.0.0.1:{emulator.data_port}"
    assert any(data in one for one in seen)


def test_no_proxy_excludes_the_api_too(
    emulator: Emulator, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    assert run("list-endpoints").returncode == 0


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("socks5h://127.0.0.1:9", 5, "error: proxy 127.0.0.1:9 cannot be used: Connection refused"),
        ("ftp://127.0.0.1:9", 2, "error: The proxy in the environment is not a URL that eicctl can use"),
        ("socks5h://[", 2, "error: The proxy in the environment is not a URL that eicctl can use"),
    ],
)
def test_the_api_s_errors_are_those_of_tunnels(
    emulator: Emulator, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch, url: str, code: int, said: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    for words in (["list-endpoints"], ["proxy", "web-1"]):
        ran = run(*words)
        assert ran.returncode == code
        assert said in ran.stderr.decode()


def test_without_python_socks_the_api_says_what_is_missing(
    emulator: Emulator, endpoint: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "python_socks.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with running(socks_proxy([])) as port:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
        ran = run("list-endpoints")
    assert ran.returncode == 2
    assert "pip install 'eicctl[socks]'" in ran.stderr.decode()
