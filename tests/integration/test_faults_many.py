"""More clients than a process has file descriptors, and a thousand that it has them for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from eicctl.emulator.server import Emulator
from eicctl.tunnel import peer_uid
from tests.integration.forwarding import target
from tests.integration.listening import read_all
from tests.integration.scripted_endpoint import Peer, ScriptedEndpoint
from tests.processes import few_descriptors, running
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]

CLIENTS = 30
COMMANDS = {
    # Each client takes two descriptors: its own, and that of its tunnel. 20 clients have a place at the endpoint.
    "tunnel": (["tunnel", "web-1", "--remote-port", "22"], 32),
    # Each takes one of its own; this loads more libraries.
    "forward": (["forward", "--via", "web-1"], 40),
}


def greet(client: socket.socket) -> None:
    client.sendall(b"SSH-")
    client.recv(1)


def port_in(stdout: IO[bytes]) -> int:
    """Where a command listens, from its events."""
    while True:
        event = json.loads(stdout.readline())
        if event["Event"] == "listening":
            return int(event["LocalPort"])


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def clients(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connected sockets, which are reset at the end: nobody lingers for them."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(count)]
        for client in found:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", COMMANDS)
def test_without_file_descriptors(name: str, emulator: Emulator, endpoint: dict[str, Any]) -> None:
    """Clients wait, it is said once and not with every try, no CPU is burnt, and what comes afterwards is served."""
    words, descriptors = COMMANDS[name]
    with target(greet) as service, contextlib.ExitStack() as stack:
        more = [f"0:localhost:{service}"] if name == "forward" else []
        process = stack.enter_context(running(*words, *more, "--output", "json", before=few_descriptors(descriptors)))
        assert process.stdout
        assert process.stderr
        port = port_in(process.stdout)
        with clients(port, CLIENTS) as many:
            assert process.stderr.readline() == (
                b"cannot accept: Too many open files; new clients wait until others disconnect\n"
            )
            before = cpu_seconds(process)
            many[-1].settimeout(1.0)
            with pytest.raises(TimeoutError):
                many[-1].recv(1)
            assert cpu_seconds(process) - before < 0.6
        with clients(port, 1) as (late,):
            assert late.recv(4) == b"SSH-"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert err.count(b"\n") < 10


def test_a_dial_without_file_descriptors_says_what_is_missing(endpoint: dict[str, Any]) -> None:
    with running("tunnel", "web-1", "--remote-port", "22", "--output", "json", before=few_descriptors(26)) as process:
        assert process.stdout
        port = port_in(process.stdout)
        with clients(port, 20):
            event: dict[str, Any] = {}
            while event.get("Event") != "retrying":
                event = json.loads(process.stdout.readline())
        assert event["Error"] == "This process has no file descriptors left"


def test_1000_connections(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    """All open at once, on one SSH connection; a shell's usual limit of 1,024 descriptors is raised."""
    with target(greet) as service:
        words = ("forward", "--via", "web-1", f"0:localhost:{service}")
        with running(*words, before=few_descriptors_at_first) as process:
            assert process.stdout
            port = int(process.stdout.readline().decode().partition("127.0.0.1:")[2].split()[0])
            with contextlib.ExitStack() as many:
                for _ in range(10):  # the kernel's queue holds 128 that are not accepted yet
                    more = many.enter_context(clients(port, 100))
                    assert {client.recv(4) for client in more} == {b"SSH-"}
                assert sum(emulator.connections().values()) == 1
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 130
            assert b"cannot accept" not in err
    wait_for(lambda: not emulator.connections())


def few_descriptors_at_first() -> None:
    """As in a shell: 1,024, which the process itself may raise."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_connections(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("ACCESS_KEY_ID", "AKIAEXAMPLE"), ("SECRET_ACCESS_KEY", "secret"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)

    def greet_and_close(peer: Peer) -> None:
        peer.accept()
        peer.protocol.send_binary(b"hello")
        peer.protocol.send_close(1000)
        peer.flush()
        peer.wait_for_end()

    def one(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            assert read_all(client) == b"hello"

    with (
        ScriptedEndpoint(tmp_path, greet_and_close) as endpoint,
        running("tunnel", *endpoint.words(), "--remote-port", "22", "--output", "json") as process,
        ThreadPoolExecutor(8) as pool,
    ):
        assert process.stdout
        port = port_in(process.stdout)
        threading.Thread(target=process.stdout.read, daemon=True).start()

        def resident_after(count: int) -> int:
            list(pool.map(one, [port] * count))
            return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        before = resident_after(600)
        grown = resident_after(1200) - before
        assert grown < 1200 * 3500  # some 2 KB each; 5 KB are leaked by each look at a TLS session


def test_questions_to_the_kernel_are_not_kept() -> None:
    asked = ("127.0.0.1", 1), ("127.0.0.1", 2)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20_000):
            peer_uid._question(socket.AF_INET, *asked)
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
