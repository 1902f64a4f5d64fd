"""After a client's EOF: one that has closed its connection frees its slot at once, one that waits gets its answer."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import eicctl
from eicctl.agent.client import ask, here
from eicctl.core.errors import SilentTargetError
from eicctl.emulator.server import Emulator
from eicctl.tunnel.relay import Linger
from eicctl.tunnel.slots import slots_of
from tests.integration.listening import connect, listening, read_all
from tests.processes import running
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]

LATER = 2.0
"""Seconds that a target takes for its answer."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells closed from half-closed")


def banner(client: socket.socket) -> None:
    client.sendall(b"220 hello\r\n")
    client.recv(1)


def answer(client: socket.socket) -> None:
    question = client.recv(100)
    time.sleep(LATER)
    client.sendall(b"answer to " + question)


def silent(client: socket.socket) -> None:
    while client.recv(100):
        pass


@linux
@pytest.mark.parametrize("where", ["127.0.0.1", "::1", "Unix socket"])
def test_a_closed_client_frees_its_slot_at_once(serve: Serve, tmp_path: Path, where: str) -> None:
    """One slot, and each client would keep it for 5 s."""
    service = serve(banner)
    path = tmp_path / "socket" if where == "Unix socket" else None
    with eicctl.open_tunnel(service.target, local_socket=path) as tunnel:
        slots_of(service.target.endpoint_id).limit = 1
        started = time.monotonic()
        for _ in range(10):
            if path:
                client = socket.socket(socket.AF_UNIX)
                client.connect(str(path))
            else:
                client = socket.create_connection((where, tunnel.local_port))
            with client:
                client.settimeout(20)
                assert client.recv(100) == b"220 hello\r\n"
        assert time.monotonic() - started < 15  # some 50, if one waited for the other


@linux
def test_500_short_connections(serve: Serve) -> None:
    with listening(serve(banner).dialer) as (port, told):

        def visit() -> None:
            for _ in range(50):
                with connect(port) as client:
                    assert client.recv(100)

        visitors = [threading.Thread(target=visit) for _ in range(10)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join(60)
        wait_for(lambda: len(told.endings) == 500)
        assert not told.failures
        assert {ending.reason for ending in told.endings} == {"closed by the client"}


@pytest.mark.parametrize("linger", [Linger(there=10, unknown=0.2), 10.0])
@linux
def test_a_client_that_waits_gets_its_answer(serve: Serve, linger: Linger | float) -> None:
    with listening(serve(answer).dialer, linger=linger) as (port, told), connect(port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"answer to question"
        assert told.ending().reason == "closed by the target"


@linux
def test_an_answer_in_pieces_arrives_whole(serve: Serve) -> None:
    def in_pieces(client: socket.socket) -> None:
        client.recv(100)
        for part in (b"one ", b"two ", b"three"):
            client.sendall(part)
            time.sleep(0.6)

    with listening(serve(in_pieces).dialer, linger=Linger(there=10, unknown=0.1)) as (port, _), connect(port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"one two three"


def test_a_client_learns_that_its_answer_did_not_come(serve: Serve) -> None:
    """A clean end of its connection would be an answer."""
    with listening(serve(silent).dialer, linger=0.3) as (port, told), connect(port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        if sys.platform == "linux":
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        else:
            assert client.recv(1) == b""
        ending = told.ending()
    assert "sent" in ending.reason
    assert "for 0.3 s" in ending.reason
    if sys.platform == "linux":
        assert isinstance(ending.error, SilentTargetError)
        assert ending.error.exit_code == 5
        assert "--linger" in str(ending.error.hint)


@linux
def test_a_client_that_closes_while_it_waits_frees_its_slot(serve: Serve) -> None:
    with listening(serve(silent).dialer, linger=60) as (port, told):
        with connect(port) as client:
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            wait_for(lambda: told.opened_numbers)
            time.sleep(0.5)
            assert not told.endings
        assert told.ending().reason == "closed by the client"
        assert told.ending().error is None


@linux
def test_a_client_that_is_killed_while_it_waits_frees_its_slot(serve: Serve) -> None:
    code = (
        "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "s.sendall(b'q'); s.shutdown(1); print(flush=True); s.recv(1)"
    )
    with listening(serve(silent).dialer, linger=60) as (port, told):
        with subprocess.Popen([sys.executable, "-c", code, str(port)], stdout=subprocess.PIPE) as client:
            assert client.stdout
            client.stdout.readline()
            wait_for(lambda: told.opened_numbers)
            client.send_signal(signal.SIGKILL)
        assert told.ending().reason == "closed by the client"


def test_what_a_client_sent_before_it_closed_arrives(serve: Serve) -> None:
    """Also where the target is in no hurry to read it."""
    data = os.urandom(20_000_000)
    got = bytearray()

    def slow(client: socket.socket) -> None:
        time.sleep(LATER)
        while more := client.recv(65536):
            got.extend(more)

    with listening(serve(slow).dialer) as (port, _):
        with connect(port) as client:
            client.sendall(data)
        wait_for(lambda: len(got) >= len(data))
    assert bytes(got) == data


@linux
def test_in_the_queue_closed_and_half_closed_differ(serve: Serve) -> None:
    with listening(serve(banner).dialer, max_connections=1) as (port, told), connect(port) as first:
        assert first.recv(100)
        with connect(port) as second, connect(port):
            second.shutdown(socket.SHUT_WR)
            wait_for(lambda: len(told.waits) == 2)
            time.sleep(0.3)
            assert not told.leavers
            first.close()
            assert second.recv(100) == b"220 hello\r\n"
        wait_for(lambda: told.leavers == [3] or len(told.opened_numbers) == 3)


@linux
def test_a_client_that_closes_before_its_tunnel_is_open_takes_no_slot(serve: Serve) -> None:
    """A health check, say. It is not in the queue."""
    service = serve(banner)
    dialled = threading.Event()
    open_once = service.dialer._open_once

    def slowly(duration: int | None) -> object:
        dialled.wait(60)
        return open_once(duration)

    service.dialer._open_once = slowly  # type: ignore[method-assign, assignment]
    with listening(service.dialer) as (port, told):
        with connect(port):
            time.sleep(0.3)  # it is accepted
        wait_for(lambda: told.leavers)
        dialled.set()
    assert not told.opened_numbers


@contextlib.contextmanager
def proxy(service: Service, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    target = service.target
    where = ["--instance-connect-endpoint-id", target.endpoint_id, "--private-ip-address", target.address]
    dns_name = ["--instance-connect-endpoint-dns-name", target.endpoint_dns_name]
    with running("proxy", *where, *dns_name, *words, stdin=subprocess.PIPE) as process:
        yield process


@pytest.fixture(params=["off", "on"])
def agent(request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With and without a background process."""
    if request.param == "off":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="l-") as folder:  # a short path: those of sockets end at 107 bytes
        monkeypatch.setenv("EICCTL_HOME", folder)
        monkeypatch.setenv("EICCTL_AGENT", "on")
        place = here()
        code = "from eicctl.agent.client import here, start; start(here())"
        subprocess.run([sys.executable, "-c", code], check=True)
        yield
        ask(place, "end")
        wait_for(lambda: not place.socket.exists())


def asked(service: Service, *words: str) -> tuple[bytes, bytes, int]:
    """Ask a target by a proxy's stdin, which ends then; return what it answers, what is told, and the exit code."""
    with proxy(service, *words) as process:
        out, err = process.communicate(b"question", timeout=60)
        return out, err, process.returncode


def test_a_script_gets_the_answer_to_what_it_sent(serve: Serve, agent: None) -> None:
    assert asked(serve(answer)) == (b"answer to question", b"", 0)


def test_a_script_learns_that_its_answer_did_not_come(serve: Serve, agent: None) -> None:
    out, err, code = asked(serve(silent), "--linger", "1")
    assert (out, code) == (b"", 5)
    assert b"sent nothing for 1 s after the client's EOF" in err
    assert b"hint: --linger SECONDS" in err


def test_a_proxy_whose_client_is_gone_ends_at_once(serve: Serve, agent: None) -> None:
    """OpenSSH says goodbye, and closes both pipes."""
    service = serve(silent)
    with proxy(service, "--linger", "60") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"goodbye")
        process.stdin.flush()
        wait_for(lambda: service.connections)
        time.sleep(0.3)
        process.stdin.close()
        process.stdout.close()
        assert process.wait(60) == 0
