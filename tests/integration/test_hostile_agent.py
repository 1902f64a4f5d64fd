"""The background process, told nonsense: it lives on, answers others, and keeps no descriptor."""

from __future__ import annotations

import array
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eicctl import __version__
from eicctl.agent import client, protocol
from eicctl.agent.client import GoneError, ask
from eicctl.agent.paths import AgentPaths
from eicctl.core.errors import EicctlError
from tests.fuzzing import any_text, fuzz
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are counted in /proc")


class Agent:
    """A background process of its own."""

    def __init__(self, paths: AgentPaths) -> None:
        self.paths = paths
        self.pid = int(ask(paths, "status")["Pid"])

    def connect(self) -> socket.socket:
        """A connection of a client."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(self.paths.socket))  # without a time-out it waits where others are before it
        sock.settimeout(30)
        return sock

    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def resident(self) -> int:
        """Bytes of memory in use."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def settles_at(self, count: int) -> None:
        """Wait until it has no more descriptors than that, and see that it answers."""
        wait_for(lambda: self.descriptors() <= count, f"a return to {count} descriptors")
        assert ask(self.paths, "status")["Pid"] == self.pid


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    home = Path(tempfile.mkdtemp(prefix="h-"))  # a short path: those of sockets end at 107 bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EICCTL_HOME", str(home))
        patch.setenv("HOME", str(home))
        paths = client.here()
        program = "from eicctl.agent import client; client.start(client.here())"
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
        made = Agent(paths)
        with contextlib.suppress(EicctlError):
            ask(paths, "open")  # a defect, which opens its log
        quiet = made.descriptors()
        for _ in range(20):  # what it imports in advance opens files
            time.sleep(0.05)
            quiet = min(quiet, made.descriptors())
        made.settles_at(quiet)
        yield made
        with contextlib.suppress(GoneError):
            ask(paths, "end")
        with contextlib.suppress(ProcessLookupError):
            os.kill(made.pid, signal.SIGTERM)
    shutil.rmtree(home, ignore_errors=True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
requests = st.builds(
    lambda verb, more: {"Do": verb, "Version": __version__, "Protocol": protocol.PROTOCOL} | more,
    st.sampled_from(["open", "close", "status", "proxy", "login", "nothing"]) | json_values,
    st.dictionaries(st.sampled_from(["Definitions", "Names", "Request", "Key", "X"]), json_values, max_size=3),
).filter(lambda request: request["Do"] != "end")
encoded = requests.map(protocol.encode)
streams = st.lists(
    encoded
    | st.binary(max_size=50)
    | st.binary(max_size=60).map(lambda data: data + b"\n")
    | encoded.flatmap(lambda data: st.integers(0, len(data)).map(lambda end: data[:end])),
    max_size=4,
).map(b"".join)


@fuzz
@given(streams)
def test_any_bytes(agent: Agent, data: bytes) -> None:
    with agent.connect() as sock, contextlib.suppress(OSError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    assert ask(agent.paths, "status")["Pid"] == agent.pid


@pytest.mark.parametrize(
    "data",
    [
        b"x" * (protocol.LONGEST + 2**17),
        b"[" * (protocol.LONGEST - 1) + b"\n",
        b"[1,2]\n",
        b"\xff\xfe\x00\x00\n",
        b"\n",
        b"\x00\x00",
        protocol.encode({"Do": "open", "Version": __version__, "Protocol": protocol.PROTOCOL}),
        protocol.encode(
            {"Do": ["open"], "Version": __version__, "Protocol": protocol.PROTOCOL, "Definitions": [{"name": "\ud800"}]}
        ),
        protocol.encode(
            {"Do": "proxy", "Version": __version__, "Protocol": protocol.PROTOCOL, "Request": {"profile": "\x00"}}
        ),
    ],
    ids=["too long", "deep", "list", "not UTF-8", "empty", "partial", "no fields", "surrogate", "no words"],
)
def test_messages_that_are_none(agent: Agent, data: bytes) -> None:
    before = agent.descriptors()
    with agent.connect() as sock, contextlib.suppress(OSError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    agent.settles_at(before)


def test_many_connections_that_say_nothing_or_half(agent: Agent) -> None:
    before = agent.descriptors()
    memory = agent.resident()
    half = b"x" * 500
    socks = [agent.connect() for _ in range(200)]
    for number, sock in enumerate(socks):
        if number % 2:
            sock.sendall(half)
    assert ask(agent.paths, "status")["Pid"] == agent.pid
    assert agent.resident() - memory < 64 * 2**20
    for sock in socks:
        sock.close()
    agent.settles_at(before)


def test_a_flood_of_descriptors_is_cut_off(agent: Agent) -> None:
    before = agent.descriptors()
    pipes = [end for _ in range(4) for end in os.pipe()]
    try:
        with agent.connect() as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(200):
                    sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", pipes * 10))])
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b"", "it answers"  # and does not wait for the rest of the message
    finally:
        for end in pipes:
            os.close(end)
    agent.settles_at(before)


def test_descriptors_with_a_request_that_wants_none_are_closed(agent: Agent) -> None:
    before = agent.descriptors()
    reading, writing = os.pipe()
    try:
        for verb in ("status", "proxy", "login", "nothing"):
            request = protocol.encode({"Do": verb, "Version": __version__, "Protocol": protocol.PROTOCOL, "Request": 1})
            with agent.connect() as sock:
                socket.send_fds(sock, [request], [reading, writing, reading])
                sock.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    while sock.recv(65536):
                        pass
    finally:
        os.close(writing)
    assert os.read(reading, 1) == b"", "somebody still has the other end"
    os.close(reading)
    agent.settles_at(before)
