"""An endpoint that sends what no polite one does, or when: in one TLS record with its 101, without end, or in drops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Opcode

import eicctl
from eicctl.api.targets import renewed_connection
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.core.errors import EicctlError, NetworkError
from eicctl.core.model import Target
from eicctl.core.request import ConnectRequest
from eicctl.emulator.server import Emulator
from tests.integration.forwarding import Record
from tests.integration.listening import connect, listening, read_all
from tests.integration.scripted_endpoint import Peer, Script, ScriptedEndpoint
from tests.processes import running

UNREACHABLE = "Unable to connect to target"
HELLO = b"SSH-2.0-hello\r\n"


# What comes in one TLS record with the 101


def with_data(peer: Peer) -> None:
    peer.accept()
    peer.protocol.send_binary(HELLO)
    peer.flush()
    peer.wait_for_end()


def with_close(peer: Peer) -> None:
    peer.accept()
    peer.protocol.send_close(1011, UNREACHABLE)
    peer.flush()
    peer.wait_for_end()


def with_data_and_close(peer: Peer) -> None:
    peer.accept()
    peer.protocol.send_binary(HELLO)
    peer.protocol.send_close(1011, "gone")
    peer.flush()
    peer.wait_for_end()


def with_half_a_frame(peer: Peer) -> None:
    peer.accept()
    peer.protocol.send_binary(HELLO)
    rest = peer.flush(keep=len(HELLO) // 2)
    time.sleep(0.2)
    peer.sock.sendall(rest)
    peer.wait_for_end()


EARLY = pytest.mark.parametrize(
    ("script", "got", "words"),
    [
        (with_data, HELLO, ""),
        (with_half_a_frame, HELLO, ""),
        (with_close, b"", UNREACHABLE),
        (with_data_and_close, HELLO, "gone (code 1011)"),
    ],
)


def check_proxy(endpoint: ScriptedEndpoint, got: bytes, words: str) -> None:
    """Run a ProxyCommand whose stdin stays open; where the endpoint does not end it, a signal does."""
    with running("proxy", *endpoint.words(), stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(len(got)) == got
        if not words:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == (5 if words else 130)
        assert process.stdout.read() == b""
        assert words in process.stderr.read().decode()


@EARLY
def test_a_proxy_command(aws: None, tmp_path: Path, script: Script, got: bytes, words: str) -> None:
    with ScriptedEndpoint(tmp_path, script) as endpoint:
        check_proxy(endpoint, got, words)


@EARLY
@pytest.mark.skipif(sys.platform == "win32", reason="no background process")
def test_the_background_process(warm: None, tmp_path: Path, script: Script, got: bytes, words: str) -> None:
    with ScriptedEndpoint(tmp_path, script) as endpoint:
        check_proxy(endpoint, got, words)


@pytest.mark.parametrize("closes", [False, True])
def test_a_signal_ends_a_proxy_command_whose_stdout_nobody_reads(aws: None, tmp_path: Path, closes: bool) -> None:
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(8):
            peer.protocol.send_binary(bytes(16_000))
        if closes:
            peer.protocol.send_close(1000)
        peer.flush()
        sent.set()
        peer.wait_for_end()

    with (
        ScriptedEndpoint(tmp_path, script) as endpoint,
        running("proxy", *endpoint.words(), stdin=subprocess.PIPE) as process,
    ):
        assert sent.wait(60)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130


@EARLY
def test_a_listener(tmp_path: Path, script: Script, got: bytes, words: str) -> None:
    with (
        ScriptedEndpoint(tmp_path, script) as endpoint,
        listening(endpoint.dialer()) as (port, told),
        connect(port) as client,
    ):
        if words:
            assert read_all(client) == got
            assert words in told.ending().reason
        else:
            received = b""
            while len(received) < len(got):
                received += client.recv(100)
            assert received == got
            assert not told.endings


def with_its_banner(target: Target, keep: int) -> Script:
    """A script that carries to a real SSH server, whose banner, but for the last bytes, comes with the 101."""

    def script(peer: Peer) -> None:
        upstream = eicctl.connect(target)
        banner = upstream.recv(100)
        peer.accept()
        peer.protocol.send_binary(banner)
        rest = peer.flush(keep=keep)
        time.sleep(0.2)
        peer.sock.sendall(rest)
        peer.join(upstream)

    return script


@pytest.mark.parametrize("kind", ["data", "half a frame", "close", "data and close"])
def test_ssh_in_this_process(emulator: Emulator, endpoint: dict[str, Any], tmp_path: Path, kind: str) -> None:
    """As `forward` and `db` use it."""
    target = resolve(Session(), ConnectRequest(target="web-1"))
    script, words = {
        "data": (with_its_banner(target, 0), ""),
        "half a frame": (with_its_banner(target, 5), ""),
        "close": (with_close, UNREACHABLE),
        "data and close": (with_data_and_close, "gone"),
    }[kind]
    with ScriptedEndpoint(tmp_path, script) as scripted:
        session = Session(ca_bundle=scripted.ca)
        there = replace(target, endpoint_dns_name=scripted.name)
        ssh = renewed_connection(session, there, ConnectRequest(), Record())

        async def log_in() -> None:
            await ssh.start()
            await ssh.close()

        if words:
            with pytest.raises(EicctlError, match=words):
                asyncio.run(asyncio.wait_for(log_in(), 20))
        else:
            asyncio.run(asyncio.wait_for(log_in(), 20))


# Options that reach the channel


@pytest.mark.parametrize("way", ["option", "background", "config.toml"])
def test_an_idle_proxy_command_pings_as_often_as_it_is_told(
    aws: None, request: pytest.FixtureRequest, tmp_path: Path, way: str
) -> None:
    if way == "background":
        request.getfixturevalue("warm")
    options = ["--keepalive", "1"]
    if way == "config.toml":
        options = []
        config = Path(os.environ["EICCTL_HOME"]) / "config" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text("keepalive = 1\n")
    pinged = threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.flush()
        while frames := peer.receive():
            if frames[0].opcode is Opcode.PING:
                pinged.set()

    with (
        ScriptedEndpoint(tmp_path, script) as endpoint,
        running("proxy", *options, *endpoint.words(), stdin=subprocess.PIPE),
    ):
        assert pinged.wait(60)


@pytest.mark.parametrize("way", ["here", "background", "quiet"])
def test_a_proxy_command_says_why_it_waits(aws: None, request: pytest.FixtureRequest, tmp_path: Path, way: str) -> None:
    if way == "background":
        request.getfixturevalue("warm")
    asked = threading.Semaphore(0)
    body = b'{"ErrorCode":"ThrottlingException","Message":"Rate exceeded"}'

    def script(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.sock.sendall(b"HTTP/1.1 429 No\r\n\r\n" + body)
        asked.release()

    with (
        ScriptedEndpoint(tmp_path, script) as endpoint,
        running("proxy", *(["-q"] if way == "quiet" else []), *endpoint.words(), stdin=subprocess.PIPE) as process,
    ):
        assert process.stderr
        if way != "quiet":
            line = process.stderr.readline().decode()
            assert line.startswith("waiting up to 30 s: ")
            assert "ThrottlingException: Rate exceeded" in line
            return
        for _ in range(6):  # some 5 s
            assert asked.acquire(timeout=60)
        process.kill()
        assert process.stderr.read() == b""


# Without end


def resident(pid: int) -> int:
    """Bytes of memory in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("size", [0, 125])
def test_pings_without_end_to_who_takes_no_pongs(aws: None, tmp_path: Path, size: int) -> None:
    """They are not read any more when their pongs are not taken; nothing is lost when they are."""
    stopped, go_on = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.accept()
        peer.protocol.send_binary(HELLO)
        peer.flush()
        for _ in range(1000):
            peer.protocol.send_ping(bytes(size))
        pings = b"".join(peer.protocol.data_to_send())
        peer.sock.settimeout(1.0)
        rest = pings * ((60_000_000 if size else 4_000_000) // len(pings))
        view = memoryview(rest)
        with contextlib.suppress(TimeoutError):
            while view:
                view = view[peer.sock.send(view[:65536]) :]
        stopped.set()
        assert go_on.wait(60)
        if size:  # what is under way is taken, and a whole number of pings sent
            peer.sock.settimeout(0.2)
            end = (len(view) % len(pings)) or len(pings)
            view = view[:end]
            while view:
                with contextlib.suppress(TimeoutError):
                    view = view[peer.sock.send(view) :]
                with contextlib.suppress(TimeoutError):
                    while peer.sock.recv(65536):
                        pass
            peer.sock.settimeout(20)
            peer.protocol.send_binary(b"after all")
            peer.flush()
            peer.wait_for_end()

    with (
        ScriptedEndpoint(tmp_path, script) as endpoint,
        running("proxy", *endpoint.words(), stdin=subprocess.PIPE) as process,
    ):
        assert process.stdout
        assert process.stdout.read(len(HELLO)) == HELLO
        before = resident(process.pid)
        assert stopped.wait(60)
        assert resident(process.pid) - before < 6 * 2**20
        go_on.set()
        if size:
            assert process.stdout.read(9) == b"after all"


# In drops


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages of a dial have half a second."""
    monkeypatch.setattr("eicctl.tunnel.dial.CONNECT_TIMEOUT", 0.5)


def dripping(data: bytes) -> Callable[[socket.socket], None]:
    """Answer what comes with a byte every tenth of a second."""

    def drip(sock: socket.socket) -> None:
        sock.recv(65536)
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(0.1)

    return drip


def flooding(data: bytes) -> Callable[[socket.socket], None]:
    """Answer what comes with the same bytes for ever."""

    def flood(sock: socket.socket) -> None:
        sock.recv(65536)
        while True:
            sock.sendall(data)

    return flood


@contextlib.contextmanager
def ends_soon(words: str) -> Iterator[None]:
    """What is in the block fails, and long before all has been sent."""
    started = time.monotonic()
    with pytest.raises(NetworkError, match=words):
        yield
    assert time.monotonic() - started < 15


def test_a_tls_handshake_in_drops(impatient: None, tmp_path: Path) -> None:
    record = b"\x16\x03\x03\x01\x00" + b"\x02\x00\x00\xfc" + bytes(252)
    with ScriptedEndpoint(tmp_path, with_data, raw=dripping(record)) as endpoint, ends_soon("TLS handshake"):
        endpoint.dialer().open(retry_budget=0)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 40, b"HTTP/1.1 403 No\r\n\r\n" + b"x" * 250]
)
def test_an_answer_to_the_handshake_in_drops(impatient: None, tmp_path: Path, answer: bytes) -> None:
    with (
        ScriptedEndpoint(tmp_path, lambda peer: dripping(answer)(peer.sock)) as endpoint,
        ends_soon("does not answer the websocket handshake"),
    ):
        endpoint.dialer().open(retry_budget=0)


@pytest.mark.parametrize("answer", [b"X: y\r\n", b"x" * 1000])
def test_an_answer_to_the_handshake_without_end(tmp_path: Path, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
        while True:
            peer.sock.sendall(answer)

    with ScriptedEndpoint(tmp_path, script) as endpoint, ends_soon("not a websocket handshake"):
        endpoint.dialer().open(retry_budget=0)


@pytest.mark.parametrize(
    ("scheme", "behaviour", "words"),
    [
        ("http", dripping(b"HTTP/1.1 200 Connection established\r\n" * 10), "timed out"),
        ("http", dripping(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40), "timed out"),
        ("http", flooding(b"X: y\r\n"), "does not respond like an HTTP proxy"),
        ("http", flooding(b"x" * 1000), "does not respond like an HTTP proxy"),
        ("socks5h", dripping(b"\x05\x00\x05\x00\x00\x03\xff" + bytes(257)), "timed out"),
    ],
    ids=["line", "headers", "headers without end", "a line without end", "SOCKS"],
)
def test_a_proxy_in_drops_or_without_end(
    impatient: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    behaviour: Callable[[socket.socket], None],
    words: str,
) -> None:
    with ScriptedEndpoint(tmp_path, with_data, raw=behaviour) as proxy, ends_soon(words):
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.name.rpartition(':')[2]}")
        replace(proxy.dialer(), target=replace(proxy.target, endpoint_dns_name="endpoint.example.com")).open(
            retry_budget=0
        )
