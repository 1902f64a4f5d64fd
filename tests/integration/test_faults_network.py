"""The network between here and the endpoint fails: silently, at each stage, and in the middle of a stream."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.frames import Opcode

from eicctl.core import errors
from eicctl.emulator.server import Emulator
from eicctl.support import connect as connecting
from eicctl.support.connect import split_host
from eicctl.tunnel import keepalive
from eicctl.tunnel.dial import Dialer
from tests.conftest import find_program
from tests.integration.listening import connect, listening, read_all
from tests.integration.scripted_endpoint import Peer, Script, ScriptedEndpoint
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a dial that wait for the network wait for half a second."""
    monkeypatch.setattr("eicctl.tunnel.dial.CONNECT_TIMEOUT", 0.5)


class Relay:
    """A piece of network before the endpoint: it carries what it is told to carry, and can reset what it carries."""

    def __init__(self, to: str) -> None:
        self._to = split_host(to)
        self._open = threading.Event()
        self._open.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.name = f"localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Carry nothing, and say nothing of it."""
        self._open.clear()

    def thaw(self) -> None:
        """Carry again, with what has come meanwhile."""
        self._open.set()

    def reset(self) -> None:
        """Reset every connection on the client's side, as a firewall does that has forgotten them."""
        for near, _ in self._pairs:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Closing it would wait for the thread that reads it.
            near.shutdown(socket.SHUT_RD)
            near.close()

    def close(self) -> None:
        """End."""
        self.thaw()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # otherwise the waiting thread accepts one more
        self._listener.close()
        for pair in self._pairs:
            for sock in pair:
                sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                self._pairs.append((near, far))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._open.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relayed(service: Service) -> Iterator[tuple[Dialer, Relay]]:
    """A dialer whose connections go through a relay."""
    relay = Relay(service.target.endpoint_dns_name)
    target = dataclasses.replace(service.target, endpoint_dns_name=relay.name)
    try:
        yield Dialer(target, service.dialer.credentials, service.dialer.ca_bundle), relay
    finally:
        relay.close()


@pytest.mark.usefixtures("impatient")
def test_a_network_that_drops_what_it_should_carry(serve: Serve) -> None:
    """TCP connects, and nothing comes back: the error says at which stage, and soon."""
    with relayed(serve(echo)) as (dialer, relay):
        relay.freeze()
        started = time.monotonic()
        with pytest.raises(errors.NetworkError, match="does not answer the TLS handshake") as told:
            dialer.open(retry_budget=0)
        assert told.value.transient
        assert time.monotonic() - started < 3


@pytest.mark.usefixtures("impatient")
def test_an_address_where_nothing_answers(serve: Serve) -> None:
    """A listener whose queue is full answers no SYN, as an address that a firewall drops."""
    service = serve(echo)
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        target = dataclasses.replace(service.target, endpoint_dns_name=f"127.0.0.1:{full.getsockname()[1]}")
        with pytest.raises(errors.NetworkError, match=r"Cannot connect to .*timed out") as told:
            Dialer(target, service.dialer.credentials, service.dialer.ca_bundle).open(retry_budget=0)
        assert told.value.hint


@pytest.mark.usefixtures("impatient")
def test_an_upgrade_that_is_not_answered(serve: Serve, emulator: Emulator) -> None:
    service = serve(echo)
    emulator.add_fault("delay", stage="handshake", seconds=2)
    with pytest.raises(errors.NetworkError, match="does not answer the websocket handshake"):
        service.dialer.open(retry_budget=0)


def test_a_target_that_never_sends_its_first_byte(serve: Serve, emulator: Emulator) -> None:
    """The client may wait as long as it likes; when it leaves, its place is free at once."""
    service = serve(echo)
    emulator.add_fault("stall", direction="both")
    with listening(service.dialer, linger=0.2) as (port, told):
        with connect(port) as client:
            client.settimeout(0.5)
            client.sendall(b"x")
            with pytest.raises(TimeoutError):
                client.recv(1)
        wait_for(lambda: not emulator.connections())
        assert told.ending().error is None


def test_a_reset_in_the_middle_of_a_stream(serve: Serve) -> None:
    with relayed(serve(echo)) as (dialer, relay), listening(dialer) as (port, told), connect(port) as client:
        client.sendall(b"before")
        assert client.recv(100) == b"before"
        relay.reset()
        assert read_all(client) == b""
        error = told.ending().error
        assert isinstance(error, errors.NetworkError)
        assert "broke" in error.message


def test_what_was_stopped_for_a_while_goes_on(serve: Serve) -> None:
    """A network that is away and comes back (a suspended server, a laptop that changes its place) loses no byte."""
    with relayed(serve(echo)) as (dialer, relay), listening(dialer) as (port, told), connect(port) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        relay.freeze()
        client.sendall(b"2" * 100_000)
        time.sleep(0.5)
        relay.thaw()
        got = b""
        while len(got) < 100_000:
            got += client.recv(65536)
        assert got == b"2" * 100_000
        assert not told.endings


def test_links_ask_whether_the_other_side_is_there(serve: Serve) -> None:
    """A silent drop is noticed within a minute, also when nobody sends anything."""
    link = serve(echo).dialer.open()
    try:
        with socket.socket(fileno=socket.dup(link.stream.fileno())) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                idle, interval, count = (sock.getsockopt(socket.IPPROTO_TCP, name) for name in names)
                assert idle + interval * count <= 60
    finally:
        link.close()


NAMESPACE = """
import socket, subprocess, sys, time
from eicctl.support import connect
connect.KEEP_ALIVE_IDLE, connect.KEEP_ALIVE_INTERVAL, connect.KEEP_ALIVE_PROBES = 1, 1, 1
subprocess.run([sys.argv[1], "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.1", 0))
client = connect.connect("127.0.0.1", server.getsockname()[1], 20)
accepted, _ = server.accept()
accepted.sendall(b"x")
assert client.recv(1) == b"x"
subprocess.run([sys.argv[1], "link", "set", "lo", "down"], check=True)
started = time.monotonic()
try:
    print("got", client.recv(1))
except OSError as error:
    print(type(error).__name__, error.errno, "after", time.monotonic() - started)
"""


def test_a_network_that_is_gone_without_a_word() -> None:
    """A real one: a network namespace whose only device goes down under an idle connection."""
    unshare, ip = find_program("unshare"), find_program("ip")
    if not (unshare and ip) or subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    ran = subprocess.run(
        [unshare, "-rn", sys.executable, "-c", NAMESPACE, ip], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    kind, _, _, seconds = ran.stdout.split()
    assert kind in ("TimeoutError", "OSError", "ConnectionResetError"), ran.stdout
    assert float(seconds) < 15


def test_the_keep_alive_is_what_the_page_says() -> None:
    assert (connecting.KEEP_ALIVE_IDLE, connecting.KEEP_ALIVE_INTERVAL, connecting.KEEP_ALIVE_PROBES) == (30, 8, 3)
    assert (keepalive.INTERVAL, keepalive.SILENCE, keepalive.PATIENCE) == (30, 50, 15)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is gone is noticed within two or three seconds, and one that a busy machine keeps waiting is not."""
    monkeypatch.setattr(keepalive, "SILENCE", 1.0)
    monkeypatch.setattr(keepalive, "PATIENCE", 2.0)


def counting(pings: list[int], greeting: bytes = b"") -> Script:
    """A script that counts pings."""

    def script(peer: Peer) -> None:
        peer.accept()
        if greeting:
            peer.protocol.send_binary(greeting)
        peer.flush()
        while frames := peer.receive():
            pings.append(sum(frame.opcode is Opcode.PING for frame in frames))

    return script


@pytest.mark.parametrize("seconds", [0.5, 0])
def test_an_idle_tunnel_is_pinged(tmp_path: Path, seconds: float) -> None:
    pings: list[int] = []
    with ScriptedEndpoint(tmp_path, counting(pings)) as endpoint:
        dialer = dataclasses.replace(endpoint.dialer(), keepalive=seconds)
        with listening(dialer) as (port, told), connect(port) as client:
            for _ in range(15):  # traffic, and so no ping
                client.sendall(b"x")
                time.sleep(0.1)
            assert sum(pings) == 0
            if seconds:
                wait_for(lambda: sum(pings) >= 2)
            else:
                time.sleep(1)
                assert sum(pings) == 0
            assert not told.endings


@pytest.mark.usefixtures("quick")
def test_a_peer_that_answered_pings_and_does_not_any_more_is_gone(serve: Serve) -> None:
    """As behind a proxy, whose kernel acknowledges what goes nowhere."""
    with relayed(serve(echo)) as (dialer, relay):
        dialer.keepalive = 0.2
        with listening(dialer) as (port, told), connect(port) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            time.sleep(1.5)
            assert not told.endings
            relay.freeze()
            assert read_all(client) == b""
            error = told.ending().error
            assert isinstance(error, errors.NetworkError)
            assert "no response" in error.message


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("idle_first", [False, True])
def test_a_target_that_stops_reading_for_a_while_is_not_gone(serve: Serve, idle_first: bool) -> None:
    go_on = threading.Event()
    size = 20_000_000

    def handler(client: socket.socket) -> None:
        go_on.wait(60)
        got = 0
        while got < size:
            got += len(client.recv(65536))
        client.sendall(b"all")

    dialer = dataclasses.replace(serve(handler).dialer, keepalive=0.2)
    with listening(dialer) as (port, told), connect(port) as client:
        if idle_first:
            time.sleep(1)  # the endpoint answers a ping
        sender = threading.Thread(target=client.sendall, args=(bytes(size),))
        sender.start()
        time.sleep(4)
        assert not told.endings
        go_on.set()
        assert client.recv(3) == b"all"
        sender.join()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("size", [2_000_000, 8_000_000, 20_000_000])  # all is sent during the pause, some, or little
def test_a_client_that_stops_reading_for_a_while_keeps_its_tunnel(serve: Serve, size: int) -> None:
    data = bytes(size)
    dialer = dataclasses.replace(serve(lambda client: client.sendall(data)).dialer, keepalive=0.2)
    with listening(dialer) as (port, told), connect(port) as client:
        time.sleep(4)
        got = read_all(client)
        assert (len(got), told.ending().error) == (len(data), None)
        assert got == data


GONE = """
import dataclasses, os, subprocess, sys, threading, time
from pathlib import Path
from eicctl.tunnel import keepalive
from eicctl.tunnel.stdio import StdioTunnel
from tests.integration.scripted_endpoint import ScriptedEndpoint
keepalive.SILENCE, keepalive.PATIENCE = 2.0, 0.5
ip, folder, sending = sys.argv[1:]
subprocess.run([ip, "link", "set", "lo", "up"], check=True)
def script(peer):
    peer.accept()
    peer.protocol.send_binary(b"hello")
    peer.flush()
    peer.wait_for_end()
with ScriptedEndpoint(Path(folder), script) as endpoint:
    dialer = dataclasses.replace(endpoint.dialer(), keepalive=0.5)
    ours, theirs = os.pipe(), os.pipe()
    def client():
        assert os.read(theirs[0], 5) == b"hello"
        time.sleep(1)
        subprocess.run([ip, "link", "set", "lo", "down"], check=True)
        while sending == "True":
            os.write(ours[1], bytes(1000))
            time.sleep(0.1)
    threading.Thread(target=client, daemon=True).start()
    started = time.monotonic()
    ending = StdioTunnel(dialer.open(), ours[0], theirs[1]).run()
    print(type(ending.error).__name__, ending.error.message, f"({time.monotonic() - started:.0f} s)", flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize("sending", [False, True])
def test_a_peer_that_is_gone_without_a_word(tmp_path: Path, sending: bool) -> None:
    """In a network namespace, whose only device goes down: while nothing is sent but pings, and while something is."""
    unshare, ip = find_program("unshare"), find_program("ip")
    if not (unshare and ip) or subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here")
    root = Path(__file__).parents[2]
    words = [unshare, "-rn", sys.executable, "-c", GONE, ip, str(tmp_path), str(sending)]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert ran.stdout.startswith("NetworkError The connection to the endpoint broke"), ran.stderr
    assert "no response for" in ran.stdout
