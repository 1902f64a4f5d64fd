"""Local ports through one SSH connection, on the emulator: bytes, renewal, loss, SOCKS5, host keys."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core import errors
from eicctl.core.request import ConnectRequest
from eicctl.emulator.server import Emulator
from eicctl.ssh import login, proxy_login
from eicctl.ssh.forward import connection, renewal
from eicctl.ssh.forward.connection import Remote
from eicctl.ssh.forward.login import HostKeyError
from eicctl.ssh.keys import KeyType
from eicctl.ssh.known_hosts import by_instance
from eicctl.support.bind import bind_unix
from eicctl.tunnel.dial import Dialer
from tests.integration.forwarding import Running, echo, forwarding, target
from tests.integration.listening import connect, read_all
from tests.waiting import wait_for


@pytest.fixture
def echo_port(endpoint: dict[str, Any]) -> Iterator[int]:
    """The port of an echo service that machines find at localhost; there is an endpoint to reach them."""
    with target(echo) as port:
        yield port


def exchange(port: int, data: bytes) -> bytes:
    """Send, end the sending half, and return all that comes."""
    with connect(port) as client:

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = read_all(client)
        sender.join()
        return got


def test_many_ports_over_one_tunnel(echo_port: int, emulator: Emulator) -> None:
    remote = Remote("localhost", echo_port)
    data = os.urandom(3_000_000)
    with forwarding(remote, remote, remote) as running:
        got = [hashlib.sha256(exchange(port, data)).digest() for port in running.ports]
        assert got == [hashlib.sha256(data).digest()] * 3
        assert sum(emulator.connections().values()) == 1
        wait_for(lambda: len(running.record.finished) == 3)
        assert {(f.bytes_in, f.bytes_out, f.error) for f in running.record.finished} == {(len(data), len(data), None)}
        with socket.create_connection(("::1", running.port), timeout=60) as client:
            client.sendall(b"6")
            assert client.recv(1) == b"6"


@pytest.mark.parametrize(("limit", "calls"), [("HELD_FOR", (2, 1)), ("PUSHED_FOR", (1, 2))])
def test_what_has_waited_for_the_other_is_renewed(
    echo_port: int, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, limit: str, calls: tuple[int, int]
) -> None:
    """A tunnel whose key was pushed late; a key whose tunnel was opened late."""
    monkeypatch.setattr(login, limit, -1.0)
    monkeypatch.setattr(connection, limit, -1.0, raising=False)
    with forwarding(Remote("localhost", echo_port)) as running:
        assert exchange(running.port, b"late") == b"late"
        assert sum(emulator.connections().values()) == 1
    made = [event["eventName"] for event in emulator.state.events()]
    assert (made.count("OpenTunnel"), made.count("SendSSHPublicKey")) == calls


@pytest.mark.parametrize(("limit", "calls"), [("HELD_FOR", (2, 1)), ("PUSHED_FOR", (1, 2))])
def test_so_is_that_of_a_proxy_command(
    endpoint: dict[str, Any],
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    calls: tuple[int, int],
) -> None:
    monkeypatch.setattr(login, limit, -1.0)
    monkeypatch.setattr(proxy_login, limit, -1.0, raising=False)
    session = Session()
    found = resolve(session, ConnectRequest(target="web-1"))
    request = ConnectRequest(ssh_login=f"ec2-user@{found.host}", session_folder=str(tmp_path))
    dialer = Dialer(found, session.credentials, session.ca_bundle)
    with proxy_login.logged_in(session, found, request, dialer, retry_budget=0, say=print) as link:
        assert sum(emulator.connections().values()) == 1
        link.close()
    made = [event["eventName"] for event in emulator.state.events()]
    assert (made.count("OpenTunnel"), made.count("SendSSHPublicKey")) == calls


def test_each_sides_end_reaches_the_other(endpoint: dict[str, Any]) -> None:
    seen: list[bytes] = []

    def answer_late(client: socket.socket) -> None:
        seen.append(read_all(client))
        client.sendall(b"answer to " + seen[0])

    with target(answer_late) as port, forwarding(Remote("localhost", port)) as running:
        assert exchange(running.port, b"question") == b"answer to question"


def test_a_target_that_hangs_up_first(endpoint: dict[str, Any]) -> None:
    """What it has sent arrives, although the client reads late and goes on sending."""
    data = os.urandom(2_000_000)
    with target(lambda client: client.sendall(data)) as port, forwarding(Remote("localhost", port)) as running:
        with connect(running.port) as client:
            time.sleep(0.3)
            client.sendall(b"nobody reads this")
            assert read_all(client) == data
        wait_for(lambda: running.forwarder.active == 0)


def test_a_client_that_breaks_off_frees_the_target(endpoint: dict[str, Any]) -> None:
    ended = threading.Event()

    def until_the_end(client: socket.socket) -> None:
        try:
            while client.recv(100):
                client.sendall(bytes(100))
        finally:
            ended.set()

    with target(until_the_end) as port, forwarding(Remote("localhost", port)) as running:
        client = connect(running.port)
        client.sendall(b"x")
        assert client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert ended.wait(60)
        wait_for(lambda: running.record.finished)
        assert "client is gone" in str(running.record.finished[0].error)


def test_a_port_where_nobody_listens(echo_port: int) -> None:
    with forwarding(Remote("localhost", 1)) as running, connect(running.port) as client:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        wait_for(lambda: running.record.errors)
        assert "web-1 cannot connect to localhost:1" in running.record.errors[0].message
        assert running.record.errors[0].exit_code == 5


def test_a_stalled_client_holds_nobody_up(endpoint: dict[str, Any]) -> None:
    sent = [0]

    def flood(client: socket.socket) -> None:
        if client.recv(1) == b"e":
            echo(client)
        for _ in range(2000):
            sent[0] += client.send(bytes(65536))

    with target(flood) as port, forwarding(Remote("localhost", port)) as running:
        stalled, other = connect(running.port), connect(running.port)
        with stalled, other:
            stalled.sendall(b"f")
            other.sendall(b"e")
            last, since = -1, time.monotonic()
            while time.monotonic() - since < 0.5:
                if sent[0] != last:
                    last, since = sent[0], time.monotonic()
                time.sleep(0.01)
            assert last < 40_000_000
            for number in range(50):
                other.sendall(b"%d" % number)
                assert other.recv(10) == b"%d" % number


# The hour


class Visitors:
    """Clients that come and go until they are told to stop, and compare every byte."""

    def __init__(self, port: int, count: int, longest: float) -> None:
        self._port = port
        self._longest = longest
        self._over = threading.Event()
        self.done = 0
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._come_and_go, args=(n,), daemon=True) for n in range(count)]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)

    def _come_and_go(self, number: int) -> None:
        source = random.Random(number)
        while not self._over.is_set():
            try:
                self._visit(source)
                self.done += 1
            except BaseException as error:
                self.failures.append(error)

    def _visit(self, source: random.Random) -> None:
        until = time.monotonic() + source.uniform(0, self._longest)
        with connect(self._port) as client:
            while True:
                data = source.randbytes(source.choice((1, 1000, 30_000)))
                client.sendall(data)
                got = b""
                while len(got) < len(data):
                    more = client.recv(65536)
                    assert more, "the connection ended early"
                    got += more
                assert got == data
                if time.monotonic() > until:
                    break
                time.sleep(source.uniform(0, 0.05))
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""


def renewals(running: Running) -> int:
    return running.record.events.count("renewed")


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew after a quarter of the duration already: a busy machine has time for it, and the test need not wait."""
    monkeypatch.setattr(renewal, "MARGIN", 0.75)


@pytest.mark.usefixtures("early")
def test_no_connection_fails_when_the_ssh_connection_is_renewed(echo_port: int, emulator: Emulator) -> None:
    with forwarding(Remote("localhost", echo_port), duration=12) as running:
        most, tasks = 0, running.tasks()
        with Visitors(running.port, count=8, longest=0.3) as visitors:
            deadline = time.monotonic() + 90
            while renewals(running) < 3 and time.monotonic() < deadline:
                most = max(most, sum(emulator.connections().values()))
                time.sleep(0.02)
        assert (visitors.failures, renewals(running) >= 3) == ([], True)
        assert visitors.done > 50
        assert most <= 3  # two where the machine is not so busy that visits outlast a renewal
        assert {"lost", "retrying", "expired"} & set(running.record.events) == set()
        # Nothing piles up: the old connections and all that carried them are gone.
        wait_for(lambda: running.tasks() <= tasks + 2 and sum(emulator.connections().values()) == 1)


@pytest.mark.usefixtures("early")
def test_an_old_connection_stays_until_its_tunnel_ends(echo_port: int, emulator: Emulator) -> None:
    with forwarding(Remote("localhost", echo_port), duration=5) as running, connect(running.port) as old:
        old.sendall(b"1")
        assert old.recv(1) == b"1"
        wait_for(lambda: renewals(running) == 1)
        with connect(running.port) as fresh:
            for client in (old, fresh):
                client.sendall(b"2")
                assert client.recv(1) == b"2"
            assert sum(emulator.connections().values()) == 2
            # It is reset, so that nobody takes what has come for everything.
            with pytest.raises(ConnectionResetError):
                old.recv(1)
        assert exchange(running.port, b"3") == b"3"
        wait_for(lambda: "expired" in running.record.events)
        assert running.record.stayed[0] == 1
        assert running.record.cut[0] == 1


@pytest.mark.usefixtures("early")
def test_a_renewal_that_fails_is_tried_again_while_the_old_one_serves(echo_port: int, emulator: Emulator) -> None:
    with forwarding(Remote("localhost", echo_port), duration=8) as running:
        emulator.add_fault("refuse", status=503, times=1)
        wait_for(lambda: "retrying" in running.record.events)
        assert exchange(running.port, b"still there") == b"still there"
        wait_for(lambda: renewals(running) == 1)
        assert exchange(running.port, b"and on") == b"and on"
        assert "lost" not in running.record.events


def test_new_connections_wait_while_a_lost_one_is_replaced(echo_port: int, emulator: Emulator) -> None:
    emulator.add_fault("cut", after_seconds=0.5)
    with forwarding(Remote("localhost", echo_port)) as running, connect(running.port) as old:
        old.sendall(b"1")
        assert old.recv(1) == b"1"
        emulator.add_fault("refuse", status=503, times=2)
        with pytest.raises(ConnectionResetError):
            old.recv(1)
        assert exchange(running.port, b"patience") == b"patience"
        assert running.record.events == ["lost", "retrying", "retrying", "recovered"]
        assert running.record.cut == [1]


def test_waiting_is_bounded(echo_port: int, emulator: Emulator) -> None:
    emulator.add_fault("cut", after_seconds=0.3)
    with forwarding(Remote("localhost", echo_port), patience=0.7) as running:
        emulator.add_fault("refuse", status=403, body={"Message": "not now"}, times=-1)
        wait_for(lambda: "lost" in running.record.events)
        started = time.monotonic()
        with connect(running.port) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        assert 0.3 < time.monotonic() - started < 5
        wait_for(lambda: any("No SSH connection to web-1" in error.message for error in running.record.errors))
        emulator.state.clear_faults()
        wait_for(lambda: "recovered" in running.record.events)
        assert exchange(running.port, b"again") == b"again"


def test_a_server_that_says_nothing_is_left(echo_port: int, emulator: Emulator) -> None:
    emulator.add_fault("stall", direction="in", times=1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(errors.UnreachableError))
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("eicctl.ssh.forward.connection.LOGIN_TIMEOUT", 1)
        stack.enter_context(forwarding(Remote("localhost", echo_port)))


# Login and host keys


def new_key(algorithm: str = "ssh-ed25519") -> str:
    """Another host's key as `TYPE BASE64`."""
    return asyncssh.generate_private_key(algorithm).export_public_key().decode().strip()


def test_the_host_keys_are_those_of_the_console(echo_port: int, instance_ids: dict[str, str]) -> None:
    remote, name = Remote("localhost", echo_port), instance_ids["web-1"]
    with forwarding(remote) as running:
        assert not running.record.notes
    (key,) = by_instance().keys(name)
    with forwarding(remote) as running:
        assert not any("host key" in note for note in running.record.notes)
    by_instance().pin(name, [new_key()])
    with pytest.raises(HostKeyError, match="does not match the pinned one") as caught, forwarding(remote):
        pass
    assert "was rebuilt" in str(caught.value.hint)
    by_instance().pin(name, [key])


def test_the_first_key_seen_is_kept(echo_port: int, instance_ids: dict[str, str]) -> None:
    with forwarding(
        Remote("localhost", echo_port), login=ConnectRequest(host_key_check="accept-new"), duration=2
    ) as running:
        assert by_instance().keys(instance_ids["web-1"])[0].startswith("ssh-ed25519 ")
        wait_for(lambda: renewals(running) == 1)  # with the kept key


def test_a_strict_check_takes_no_unknown_key(echo_port: int) -> None:
    with (
        pytest.raises(errors.UsageError, match="No host key"),
        forwarding(Remote("localhost", echo_port), login=ConnectRequest(host_key_check="strict")),
    ):
        pass


@pytest.mark.parametrize("check", ["console", "accept-new", "strict"])
def test_a_key_of_another_type_is_not_taken_for_a_new_one(
    echo_port: int, instance_ids: dict[str, str], check: Any
) -> None:
    by_instance().pin(instance_ids["web-1"], [new_key("ecdsa-sha2-nistp256")])
    with (
        pytest.raises(HostKeyError),
        forwarding(Remote("localhost", echo_port), login=ConnectRequest(host_key_check=check)),
    ):
        pass


def test_no_check(echo_port: int, instance_ids: dict[str, str]) -> None:
    by_instance().pin(instance_ids["web-1"], [new_key()])
    with forwarding(Remote("localhost", echo_port), login=ConnectRequest(host_key_check="off")) as running:
        assert exchange(running.port, b"unchecked") == b"unchecked"
        assert any("are not checked" in note for note in running.record.notes)


def test_the_wrong_user(echo_port: int) -> None:
    refused = pytest.raises(errors.DeniedError, match="refused the login of nobody")
    with refused as caught, forwarding(Remote("localhost", echo_port), login=ConnectRequest(os_user="nobody")):
        pass
    assert "--os-user ec2-user" in str(caught.value.hint)


def test_a_key_of_the_users_own(echo_port: int, emulator: Emulator, instance_ids: dict[str, str], home: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    file = home / "key"
    file.write_bytes(key.export_private_key(passphrase="open sesame", rounds=50))
    machine = emulator.state.machine_of(instance_ids["web-1"])
    assert machine
    emulator.state.put_machine(replace(machine, authorized_keys=(key.export_public_key().decode(),)))
    login = ConnectRequest(private_key_file=str(file))
    with forwarding(Remote("localhost", echo_port), login=login, passphrase="open sesame") as running:
        assert exchange(running.port, b"own key") == b"own key"
    assert not [event for event in emulator.state.events() if event["eventName"] == "SendSSHPublicKey"]
    with (
        pytest.raises(errors.LocalError, match="Cannot use the key"),
        forwarding(Remote("localhost", echo_port), login=ConnectRequest(private_key_file=str(file)), passphrase="no"),
    ):
        pass


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
def test_a_key_of_any_type(echo_port: int, key_type: KeyType) -> None:
    with forwarding(Remote("localhost", echo_port), login=ConnectRequest(key_type=key_type)) as running:
        assert exchange(running.port, b"in") == b"in"


def test_a_key_of_the_users_own_can_be_pushed(echo_port: int, home: Path) -> None:
    file = home / "key"
    file.write_bytes(asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key())
    login = ConnectRequest(private_key_file=str(file), send_key=True)
    with forwarding(Remote("localhost", echo_port), login=login) as running:
        assert exchange(running.port, b"own key") == b"own key"


def test_windows_has_no_ssh(echo_port: int) -> None:
    with (
        pytest.raises(errors.UsageError, match="win-1 is a Windows instance"),
        forwarding(Remote("localhost", 1), via="win-1"),
    ):
        pass


# SOCKS5 and Unix sockets


def socks(port: int, request: bytes) -> tuple[socket.socket, bytes]:
    """Greet a SOCKS5 proxy, send a request, and return the connection with the reply's code."""
    client = connect(port)
    client.sendall(b"\x05\x02\x00\x02")
    assert client.recv(2) == b"\x05\x00"
    client.sendall(b"\x05\x01\x00" + request)
    reply = client.recv(10)
    assert len(reply) == 10
    return client, reply[1:2]


@pytest.mark.parametrize("kind", ["name", "ipv4", "ipv6"])
def test_socks5(endpoint: dict[str, Any], kind: str) -> None:
    hosts = {"name": b"\x03\x09localhost", "ipv4": b"\x01\x7f\x00\x00\x01", "ipv6": b"\x04" + bytes(15) + b"\x01"}
    family = socket.AF_INET6 if kind == "ipv6" else socket.AF_INET
    with target(echo, family) as port, forwarding(None) as running:
        client, code = socks(running.port, hosts[kind] + port.to_bytes(2, "big"))
        with client:
            assert code == b"\x00"
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"


def test_socks5_refusals(endpoint: dict[str, Any]) -> None:
    with forwarding(None) as running:
        client, code = socks(running.port, b"\x03\x09localhost\x00\x01")
        with client:
            assert (code, client.recv(1)) == (b"\x05", b"")
        for first, word in ((b"\x04\x01", "SOCKS4"), (b"GET / HTTP/1.1\r\n\r\n", "HTTP")):
            with connect(running.port) as client:
                client.sendall(first)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
            wait_for(lambda word=word: word in running.record.errors[-1].message)  # type: ignore[misc]


def test_unix_sockets_at_both_ends(echo_port: int, tmp_path: Path) -> None:
    there = tmp_path / "there.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(there))
    listener.listen()

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            echo(client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    here = tmp_path / "here.sock"
    client = socket.socket(socket.AF_UNIX)
    with listener, client, forwarding(Remote(path=str(there)), sockets=[bind_unix(here)]):
        client.settimeout(10)
        client.connect(str(here))
        client.sendall(b"local")
        assert client.recv(5) == b"local"
    thread.join(5)


def test_rotations_do_not_share_jitter() -> None:
    """Many clients that have begun together do not renew together."""
    link: Any = SimpleNamespace(max_duration=3600, expires=3600.0)
    times = {renewal._renewal(link) for _ in range(20)}
    assert len(times) > 10
    assert 2600 < min(times) < max(times) < 2800
