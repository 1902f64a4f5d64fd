"""Ctrl-C at each stage of a command, and what is stopped for a while."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eicctl.agent.client import ask
from eicctl.agent.paths import AgentPaths
from eicctl.core.errors import LocalError
from eicctl.emulator.server import Emulator
from eicctl.support.bind import bind_unix
from tests.integration.forwarding import echo, target
from tests.processes import running
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]
Process = subprocess.Popen[bytes]


def interrupt(process: Process, home: Path) -> bytes:
    """Press Ctrl-C; return what the command said after it. It ends with 130, soon, and leaves no file."""
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert time.monotonic() - started < 4  # whatever is under way
    assert b"Traceback" not in err
    left = [path.name for path in (home.parent / "eicctl" / "run").glob("*") if not path.name.endswith(".lock")]
    assert not left
    return err


def reads(process: Process, words: bytes) -> None:
    """Wait until the command has said something on stderr."""
    assert process.stderr
    said = b""
    while words not in said:
        line = process.stderr.readline()
        assert line, said
        said += line


def is_asking(process: Process, port: int) -> bool:
    """Whether the command has a connection to a port of this machine."""
    wanted = f":{port:04X}"
    rows = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    inodes = {row.split()[9] for row in rows if row.split()[2].endswith(wanted) and row.split()[3] == "01"}
    return any(f"socket:[{inode}]" in links(process) for inode in inodes)


def links(process: Process) -> set[str]:
    """What the command's descriptors lead to."""
    folder = Path(f"/proc/{process.pid}/fd")
    found = set()
    for path in folder.iterdir():
        try:
            found.add(str(path.readlink()))
        except FileNotFoundError:
            continue
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="there is no /proc")


@needs_proc
@pytest.mark.parametrize("words", [["instances"], ["proxy", "web-1"], ["ssh", "web-1"]], ids=lambda words: words[0])
def test_while_a_target_is_looked_up(
    words: list[str], emulator: Emulator, endpoint: dict[str, Any], home: Path
) -> None:
    emulator.state.behave(latency=6.0)
    with running(*words) as process:
        wait_for(lambda: is_asking(process, emulator.port))
        assert b"interrupted" in interrupt(process, home)


@pytest.mark.needs("ssh", "ssh-keygen")
def test_while_a_key_is_pushed(emulator: Emulator, endpoint: dict[str, Any], home: Path) -> None:
    with running("ssh", "--verbose", "web-1", "--", "true") as process:
        # The image has been looked up; what comes now is the push, and the console's host keys.
        reads(process, b"OS user: ")
        emulator.state.behave(latency=6.0)
        interrupt(process, home)


def test_while_the_endpoint_is_dialled(emulator: Emulator, endpoint: dict[str, Any], home: Path) -> None:
    emulator.add_fault("delay", stage="handshake", seconds=3)
    with running("proxy", "web-1") as process:
        wait_for(lambda: not emulator.state.faults())
        assert b"interrupted" in interrupt(process, home)


def test_while_a_session_is_open(emulator: Emulator, endpoint: dict[str, Any], home: Path) -> None:
    with running("proxy", "web-1", stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.read(4) == b"SSH-"
        interrupt(process, home)
    wait_for(lambda: not emulator.connections())


@pytest.mark.parametrize(
    "words", [["tunnel", "web-1", "--remote-port", "22"], ["forward", "--via", "web-1"]], ids=lambda words: words[0]
)
def test_while_a_listener_has_clients(
    words: list[str], emulator: Emulator, endpoint: dict[str, Any], home: Path
) -> None:
    def greet(client: socket.socket) -> None:
        client.sendall(b"SSH-")
        client.recv(1)

    with target(greet) as port:
        more = [f"0:localhost:{port}"] if words[0] == "forward" else []
        with running(*words, *more) as process, connected(process) as client:
            assert client.recv(4) == b"SSH-"
            interrupt(process, home)
            with contextlib.suppress(ConnectionResetError):
                while client.recv(4096):  # its connection is closed, too
                    pass
    wait_for(lambda: not emulator.connections())


def connected(process: Process) -> socket.socket:
    """A client of a command that tells where it listens."""
    assert process.stdout
    port = int(process.stdout.readline().decode().partition("127.0.0.1:")[2].split()[0])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def test_while_a_machine_is_waited_for(emulator: Emulator, endpoint: dict[str, Any], home: Path) -> None:
    emulator.state.behave(latency=1.0)  # each call takes long enough to be seen
    with running("tunnel", "web-1", "--remote-port", "22", "--wait=60") as process:
        wait_for(lambda: is_asking(process, emulator.port))
        assert b"interrupted" in interrupt(process, home)


@pytest.mark.needs("scp", "ssh-keygen")
def test_while_files_are_copied(emulator: Emulator, endpoint: dict[str, Any], home: Path, tmp_path: Path) -> None:
    """The exit code is scp's own; the key's folder goes, and so does the tunnel."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2_000_000_000)
    with running("scp", str(large), "web-1:large", start_new_session=True) as process:
        wait_for(lambda: sum(emulator.connections().values()))
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 130, 255), err
    assert b"Traceback" not in err
    assert not list((home.parent / "eicctl" / "run").glob("ssh-*"))
    wait_for(lambda: not emulator.connections())


# Suspended


def test_a_client_that_was_suspended_goes_on(serve: Serve, endpoint: dict[str, Any]) -> None:
    """SIGSTOP, as Ctrl-Z or a laptop's lid."""
    service = serve(echo)
    with running(*tunnel_to(service)) as process, connected(process) as client:
        client.sendall(b"1")
        assert client.recv(1) == b"1"
        process.send_signal(signal.SIGSTOP)
        threading.Thread(target=client.sendall, args=(b"2" * 3_000_000,), daemon=True).start()
        time.sleep(0.4)
        process.send_signal(signal.SIGCONT)
        got = 0
        while got < 3_000_000:
            got += len(client.recv(65536))


def test_a_tunnel_that_ended_while_its_client_was_suspended_is_told(
    serve: Serve, emulator: Emulator, endpoint: dict[str, Any]
) -> None:
    """A laptop that slept for longer than the tunnel may live: the end is explained, and the next one is served."""
    service = serve(echo)
    with running(*tunnel_to(service), "--max-tunnel-duration", "1", "--output", "json") as process:
        assert process.stdout
        port = json.loads(process.stdout.readline())["LocalPort"]
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"1")
            assert client.recv(1) == b"1"
            process.send_signal(signal.SIGSTOP)
            wait_for(lambda: not emulator.connections())
            process.send_signal(signal.SIGCONT)
            assert client.recv(1) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"2")
            assert client.recv(1) == b"2"
        events = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert "maximum duration" in events[1]["Reason"]


def tunnel_to(service: Service) -> list[str]:
    found = service.target
    return [
        *("tunnel", "--private-ip-address", found.address, "--remote-port", "22"),
        *("--instance-connect-endpoint-id", found.endpoint_id),
        *("--instance-connect-endpoint-dns-name", found.endpoint_dns_name),
    ]


def test_a_background_process_that_is_stopped_is_not_waited_for(home: Path) -> None:
    """It takes connections (the kernel does), and never answers."""
    place = AgentPaths("silent")
    sock = bind_unix(place.socket)
    try:
        with pytest.raises(LocalError, match="does not respond") as told:
            ask(place, "status", timeout=0.3)
        assert told.value.hint
    finally:
        sock.close()
