"""An endpoint that sends what no polite one does, or when: in one TLS record with its 101, without end, or in drops."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import eicctl
from eicctl.agent import start
from eicctl.agent.client import GoneError, ask
from eicctl.aws.session import Session
from eicctl.aws.targets import resolve
from eicctl.emulator.server import Emulator
from eicctl.errors import EicctlError
from eicctl.model import Target, TargetRequest
from eicctl.ssh.in_process import LoginRequest
from eicctl.ssh.machine import rotation_to
from tests.integration.forwarding import Record
from tests.integration.listening import connect, listening, read_all
from tests.integration.processes import running
from tests.integration.scripted_endpoint import Peer, Script, ScriptedEndpoint

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


@pytest.fixture
def aws(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials, and nobody who would look at them."""
    for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.fixture
def warm(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A background process."""
    folder = Path(tempfile.mkdtemp(prefix="e-"))  # a short path: those of sockets end at 107 bytes
    monkeypatch.setenv("EICCTL_HOME", str(folder))
    monkeypatch.setenv("EICCTL_AGENT", "on")
    monkeypatch.delenv("CI", raising=False)
    place = start.here()
    subprocess.run(
        [sys.executable, "-c", "from eicctl.agent import start; start.start(start.here())"], check=True, timeout=60
    )
    pid = int(ask(place, "status")["Pid"])
    yield
    try:
        ask(place, "end")
    except (GoneError, EicctlError):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def check_proxy(endpoint: ScriptedEndpoint, got: bytes, words: str) -> None:
    """Run a ProxyCommand whose stdin stays open; where the endpoint does not end it, a signal does."""
    with running("proxy", *endpoint.words(), stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(len(got)) == got
        if not words:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == (5 if words else 130)
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
        assert sent.wait(20)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130


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
    target = resolve(Session(), TargetRequest(words="web-1"))
    script, words = {
        "data": (with_its_banner(target, 0), ""),
        "half a frame": (with_its_banner(target, 5), ""),
        "close": (with_close, UNREACHABLE),
        "data and close": (with_data_and_close, "gone"),
    }[kind]
    with ScriptedEndpoint(tmp_path, script) as scripted:
        session = Session(ca_bundle=scripted.ca)
        there = replace(target, endpoint_dns_name=scripted.name)
        rotation = rotation_to(session, there, LoginRequest(), Record())

        async def log_in() -> None:
            await rotation.start()
            await rotation.close()

        if words:
            with pytest.raises(EicctlError, match=words):
                asyncio.run(asyncio.wait_for(log_in(), 20))
        else:
            asyncio.run(asyncio.wait_for(log_in(), 20))
