"""Every byte arrives, in order, once: whatever the sizes, the pauses, the frames, and whoever stops reading."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eicctl.emulator.server import Emulator
from tests.integration.listening import connect, listening, read_all
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


chunks = st.lists(st.tuples(st.integers(1, 200_000), st.sampled_from([0, 0, 0, 0.002])), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=chunks, seed=st.integers(0, 2**32))
def test_what_is_sent_comes_back(serve: Serve, chunks: list[tuple[int, float]], seed: int) -> None:
    service = serve(echo)
    source = random.Random(seed)
    with listening(service.dialer) as (port, _), connect(port) as client:
        sent = hashlib.sha256()

        def send() -> None:
            for size, pause in chunks:
                data = source.randbytes(size)
                sent.update(data)
                client.sendall(data)
                time.sleep(pause)

        sender = threading.Thread(target=send)
        sender.start()
        total = sum(size for size, _ in chunks)
        got = hashlib.sha256()
        received = 0
        while received < total:
            data = client.recv(65536)
            assert data, "the tunnel ended early"
            got.update(data)
            received += len(data)
        sender.join()
        assert got.digest() == sent.digest()


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536, 65537])
def test_frames_of_every_length_form(serve: Serve, emulator: Emulator, size: int) -> None:
    service = serve(echo)
    emulator.add_fault("fragment", size=size, times=-1)
    data = os.urandom(4 * size if size > 1 else 300)
    with listening(service.dialer) as (port, _), connect(port) as client:
        client.sendall(data)
        got = b""
        while len(got) < len(data):
            got += client.recv(65536)
    assert got == data


def test_the_target_may_answer_after_the_client_has_said_all(serve: Serve) -> None:
    """There is no half-close in the service; the client still gets its answer."""

    def answer_late(client: socket.socket) -> None:
        request = client.recv(100)
        time.sleep(0.3)
        client.sendall(b"answer to " + request)

    with listening(serve(answer_late).dialer) as (port, told), connect(port) as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"answer to question"
        assert told.ending().reason == "closed by the target"


def test_bytes_before_a_close_are_delivered(serve: Serve) -> None:
    """The target sends and hangs up while the client reads nothing, and goes on sending."""
    data = os.urandom(3_000_000)

    def send_and_leave(client: socket.socket) -> None:
        client.recv(100)
        client.sendall(data)

    with listening(serve(send_and_leave).dialer) as (port, _), connect(port) as client:
        client.sendall(b"go")
        time.sleep(0.5)
        client.sendall(b"some bytes that nobody reads")
        assert read_all(client) == data


def memory() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")  # noqa: PTH110
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_stall_stops_the_writer_and_nobody_else(serve: Serve, direction: str) -> None:
    progress = [0]
    go_on = threading.Event()

    def handler(client: socket.socket) -> None:
        kind = client.recv(1)
        if kind == b"e":
            echo(client)
        elif kind == b"d":
            block = bytes(65536)
            for _ in range(2000):
                progress[0] += client.send(block)
        else:
            go_on.wait(60)
            while client.recv(65536):
                pass

    with listening(serve(handler).dialer) as (port, _), connect(port) as stalled, connect(port) as other:
        other.sendall(b"e")
        if direction == "down":
            stalled.sendall(b"d")
        else:
            stalled.sendall(b"u")
            stalled.setblocking(False)

        def push() -> int:
            if direction == "up":
                with contextlib.suppress(BlockingIOError):
                    progress[0] += stalled.send(bytes(65536))
            return progress[0]

        # It stops once every buffer on the way is full.
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 0.7:
            now = push()
            if now != last:
                last, since = now, time.monotonic()
        assert last < 60_000_000
        before = memory()
        for number in range(200):
            word = f"{number}".encode()
            other.sendall(word)
            assert other.recv(100) == word
            push()
        assert memory() - before < 2**20
        go_on.set()


def test_200_connections_at_once(serve: Serve, emulator: Emulator) -> None:
    emulator.state.behave(max_connections=300)
    with listening(serve(echo).dialer, max_connections=300) as (port, told):
        clients = [connect(port) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(f"client {number}".encode())
        answers = [client.recv(100) for client in clients]
        assert answers == [f"client {number}".encode() for number in range(200)]
        for client in clients:
            client.close()
        wait_for(lambda: len(told.endings) == 200)
        assert {ending.reason for ending in told.endings} == {"closed by the client"}


def test_more_connections_than_allowed_wait(serve: Serve) -> None:
    with listening(serve(echo).dialer, max_connections=2, linger=0.2) as (port, told):
        first, second, third = connect(port), connect(port), connect(port)
        third.sendall(b"3")
        for client in (first, second):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        time.sleep(0.2)
        assert len(told.opened_numbers) == 2
        first.close()
        assert third.recv(1) == b"3"
        second.close()
        third.close()


def test_counts_and_reason_are_told(serve: Serve) -> None:
    with listening(serve(echo).dialer, linger=0.2) as (port, told):
        with connect(port) as client:
            client.sendall(b"12345")
            got = b""
            while len(got) < 5:
                got += client.recv(5)
        ending = told.ending()
    assert (ending.bytes_in, ending.bytes_out, ending.error) == (5, 5, None)
    assert ending.request_id
