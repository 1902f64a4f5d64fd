"""More clients than a process has file descriptors, and a thousand that it has them for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from eicctl.emulator.server import Emulator
from tests.integration.forwarding import target
from tests.integration.listening import wait_for
from tests.integration.processes import few_descriptors, running

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
        found = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(count)]
        for client in found:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
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
                b"cannot accept: Too many open files; new clients wait until others have gone\n"
            )
            before = cpu_seconds(process)
            many[-1].settimeout(1.0)
            with pytest.raises(TimeoutError):
                many[-1].recv(1)
            assert cpu_seconds(process) - before < 0.6
        with clients(port, 1) as (late,):
            assert late.recv(4) == b"SSH-"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert err.count(b"\n") < 10


def test_a_dial_without_file_descriptors_says_what_is_missing(endpoint: dict[str, Any]) -> None:
    with running("tunnel", "web-1", "--remote-port", "22", "--output", "json", before=few_descriptors(26)) as process:
        assert process.stdout
        port = port_in(process.stdout)
        with clients(port, 20):
            event: dict[str, Any] = {}
            while event.get("Event") != "retrying":
                event = json.loads(process.stdout.readline())
        assert event["Error"] == "this process has no file descriptors left"


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
            _, err = process.communicate(timeout=30)
            assert process.returncode == 130
            assert b"cannot accept" not in err
    wait_for(lambda: not emulator.connections())


def few_descriptors_at_first() -> None:
    """As in a shell: 1,024, which the process itself may raise."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
