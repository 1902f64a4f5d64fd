"""Connections kept ready for the next tunnel: used where they are open, done without where they are not."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eicctl.core import errors
from eicctl.core.model import Credentials
from eicctl.emulator.server import Emulator
from eicctl.tunnel import preconnect
from eicctl.tunnel.dial import Dialer
from tests.integration.listening import connect, listening
from tests.integration.scripted_endpoint import Peer, ScriptedEndpoint
from tests.processes import running
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]


@pytest.fixture(autouse=True)
def spares(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Spare connections are kept; those of the test end with it."""
    monkeypatch.setenv(preconnect.VARIABLE, "on")
    preconnect.enable()
    yield
    preconnect.drop()
    monkeypatch.setattr(preconnect, "_enabled", False)
    wait_for(lambda: not preconnect._keepers)


def ready() -> bool:
    """Whether a spare connection waits."""
    return any(keeper._stream is not None for keeper in preconnect._keepers.values())


def greeting(peer: Peer) -> None:
    peer.accept()
    peer.protocol.send_binary(b"hello")
    peer.flush()
    peer.wait_for_end()


def opened(dialer: Dialer) -> None:
    """Open a tunnel, hear the target, and close it; no second try is allowed."""
    link = dialer.open(retry_budget=0)
    link.stream.settimeout(10)
    data = link.early or bytes(link.stream.receive() or b"")
    assert b"hello" in data
    link.close()


def test_the_next_tunnel_takes_it(tmp_path: Path) -> None:
    with ScriptedEndpoint(tmp_path, greeting) as endpoint:
        dialer = endpoint.dialer()
        opened(dialer)
        wait_for(ready)
        assert endpoint.accepted == 2
        (waiting,) = preconnect._keepers.values()
        stream = waiting._stream
        link = dialer.open(retry_budget=0)
        assert link.stream is stream
        assert (link.times.tcp, link.times.tls) == (0, 0)
        link.close()
        wait_for(ready)
        assert endpoint.accepted == 3


def test_it_takes_no_place_and_leaves_no_record(serve: Serve, emulator: Emulator) -> None:
    monkey = serve(lambda client: client.sendall(b"hello"))
    monkey.dialer.open().close()
    wait_for(ready)
    wait_for(lambda: not emulator.connections())
    assert len([event for event in emulator.state.events() if event["eventName"] == "OpenTunnel"]) == 1


def test_it_is_dropped_after_a_while_and_kept_no_longer_than_the_endpoint_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preconnect, "KEPT_FOR", 0.3)
    monkeypatch.setattr(preconnect, "WHILE_USED", 0.5)
    ended: list[float] = []

    def script(peer: Peer) -> None:
        try:
            greeting(peer)
        except EOFError:
            ended.append(time.monotonic())

    with ScriptedEndpoint(tmp_path, script) as endpoint:
        opened(endpoint.dialer())
        wait_for(lambda: len(ended) == 2)
        wait_for(lambda: not preconnect._keepers)
        assert endpoint.accepted == 3


@pytest.mark.parametrize("said", ["off", "config.toml"])
def test_a_setting_turns_it_off(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(preconnect.VARIABLE, "off" if said == "off" else "")
    if said != "off":
        config = tmp_path / "eicctl" / "config" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text("spare = false\n")
    preconnect.enable()
    with ScriptedEndpoint(tmp_path, greeting) as endpoint:
        opened(endpoint.dialer())
        time.sleep(0.3)
        opened(endpoint.dialer())
        assert endpoint.accepted == 2
        assert not preconnect._keepers


@pytest.mark.skipif(sys.platform == "win32", reason="no background process")
def test_the_background_process_keeps_one(warm: None, tmp_path: Path) -> None:
    with ScriptedEndpoint(tmp_path, greeting) as endpoint:
        for number in (1, 2):
            with running("proxy", *endpoint.words(), stdin=subprocess.PIPE) as process:
                assert process.stdout
                assert process.stdout.read(5) == b"hello"
                wait_for(lambda wanted=number + 1: endpoint.accepted == wanted)  # type: ignore[misc]
                time.sleep(0.3)


# The service closes it


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def fin(peer: Peer) -> None:
    peer.sock.shutdown(socket.SHUT_RDWR)


def rst(peer: Peer) -> None:
    reset(peer.sock)


def close_notify(peer: Peer) -> None:
    peer.sock.settimeout(0.2)
    with pytest.raises((TimeoutError, ssl.SSLError)):
        peer.sock.unwrap()
    time.sleep(20)


def time_out(peer: Peer) -> None:
    peer.sock.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    time.sleep(20)


def on_request(peer: Peer) -> None:
    peer.sock.recv(65536)


def reset_on_request(peer: Peer) -> None:
    peer.sock.recv(65536)
    reset(peer.sock)


def half_an_answer(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs")


def time_out_on_request(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.sock.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "ending", [fin, rst, close_notify, time_out, on_request, reset_on_request, half_an_answer, time_out_on_request]
)
def test_one_that_the_service_closes_costs_nothing_but_time(tmp_path: Path, ending: Callable[[Peer], None]) -> None:
    numbers = iter(range(100))

    def script(peer: Peer) -> None:
        (ending if next(numbers) == 1 else greeting)(peer)

    with ScriptedEndpoint(tmp_path, script) as endpoint:
        dialer = endpoint.dialer()
        opened(dialer)
        wait_for(ready)
        time.sleep(0.5)
        opened(dialer)


def test_one_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    """The service takes no connection but those that are used at once."""
    numbers = iter(range(100))
    with ScriptedEndpoint(tmp_path, greeting) as endpoint:
        serve = endpoint._serve
        endpoint._serve = lambda client: client.close() if next(numbers) == 1 else serve(client)  # type: ignore[method-assign]
        dialer = endpoint.dialer()
        opened(dialer)
        wait_for(lambda: not preconnect._keepers)
        opened(dialer)
        wait_for(ready)


# What has changed meanwhile


def test_credentials_that_were_renewed_are_used(serve: Serve) -> None:
    """What is signed is signed when the connection is used."""
    service = serve(lambda client: client.sendall(b"hello"))
    dialer = service.dialer
    good = dialer.credentials()
    dialer.open().close()
    wait_for(ready)
    dialer.credentials = lambda: Credentials(good.access_key_id, "old", good.session_token)
    with pytest.raises(errors.CredentialsError):
        dialer.open(retry_budget=0)
    wait_for(ready)
    dialer.credentials = lambda: good
    dialer.open(retry_budget=0).close()


def test_an_endpoint_that_was_deleted_is_looked_up_again(serve: Serve, ec2: Any, subnet_id: str) -> None:
    service = serve(lambda client: client.sendall(b"hello"))
    service.dialer.open().close()
    wait_for(ready)
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=service.target.endpoint_id)
    with pytest.raises(errors.NotFoundError):
        service.dialer.open(retry_budget=0)
    wait_for(ready)
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet_id)["InstanceConnectEndpoint"]
    service.dialer.look_up = lambda: dataclasses.replace(
        service.target, endpoint_id=made["InstanceConnectEndpointId"], endpoint_dns_name=made["DnsName"]
    )
    link = service.dialer.open(retry_budget=0)
    assert link.target.endpoint_id == made["InstanceConnectEndpointId"]
    link.close()


def test_another_ca_is_not_trusted_for_its_sake(tmp_path: Path) -> None:
    with ScriptedEndpoint(tmp_path, greeting) as endpoint:
        dialer = endpoint.dialer()
        opened(dialer)
        wait_for(ready)
        with pytest.raises(errors.NetworkError, match="not trusted"):
            dataclasses.replace(dialer, ca_bundle=None).open(retry_budget=0)


# Many


def test_many_clients_at_once(tmp_path: Path) -> None:
    """One takes it, the others connect; at no time is there more than one."""
    with ScriptedEndpoint(tmp_path, greeting) as endpoint, listening(endpoint.dialer(), linger=0.1) as (port, told):
        for _ in range(5):
            clients = [connect(port) for _ in range(10)]
            for client in clients:
                assert client.recv(5) == b"hello"
            assert len(preconnect._keepers) == 1
            for client in clients:
                client.close()
        wait_for(lambda: len(told.endings) == 50)
        wait_for(ready)
        assert not told.failures
        assert not told.retries
        assert endpoint.accepted <= 50 + 6


def test_the_threads_end(tmp_path: Path) -> None:
    before = threading.active_count()
    with ScriptedEndpoint(tmp_path, greeting) as endpoint:
        opened(endpoint.dialer())
        wait_for(ready)
        preconnect.drop()
        wait_for(lambda: not preconnect._keepers)
    wait_for(lambda: threading.active_count() <= before)
