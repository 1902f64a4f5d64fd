"""More clients than an endpoint has slots."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from eicctl.core.errors import ThrottledError
from eicctl.emulator.server import Emulator
from eicctl.ssh.forward.connection import Remote
from eicctl.tunnel.slots import slots_of
from tests.integration.conftest import Ran
from tests.integration.forwarding import forwarding
from tests.integration.listening import connect, listening
from tests.waiting import wait_for

if TYPE_CHECKING:
    from tests.integration.conftest import Handler, Service

Serve = Callable[["Handler"], "Service"]


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def test_30_clients_at_once_are_all_served(serve: Serve) -> None:
    service = serve(echo)
    threads = threading.active_count()
    with listening(service.dialer, linger=0.1) as (port, told):
        clients = [connect(port) for _ in range(30)]
        for number, client in enumerate(clients):
            client.sendall(f"client {number}".encode())
        wait_for(lambda: len(told.opened_numbers) == 20)
        wait_for(lambda: len(told.waits) == 10)
        assert [before for _, before in told.waits] == list(range(10))
        # 20 of the service, the listener's, and the pool of the emulator (6 on two cores); none for who waits.
        wait_for(lambda: threading.active_count() < threads + 30)
        for number, client in enumerate(clients):
            assert client.recv(100) == f"client {number}".encode()
            client.close()
        assert not told.failures
    assert slots_of(service.target.endpoint_id).used == 0


def test_clients_wait_while_others_hold_the_places(serve: Serve, emulator: Emulator) -> None:
    """The others are links that this process does not count."""
    service = serve(echo)
    others = dataclasses.replace(service.dialer)
    emulator.state.behave(max_connections=3)
    with contextlib.ExitStack() as cleanup:
        foreign = []
        for _ in range(3):
            link = others.open()
            assert link.reservation
            link.reservation.release()
            foreign.append(link)
            cleanup.callback(link.close)
        port, told = cleanup.enter_context(listening(service.dialer, linger=0.1))
        clients = [connect(port) for _ in range(4)]
        for client in clients:
            client.sendall(b"x")
        wait_for(lambda: len(told.waits) == 4)
        for link in foreign:
            link.close()
        for client in clients:
            assert client.recv(1) == b"x"
            client.close()
        assert not told.failures


def test_a_client_that_leaves_gives_its_turn_away(serve: Serve) -> None:
    with listening(serve(echo).dialer, max_connections=1, linger=0.1) as (port, told):
        first, silent, talker, last = connect(port), connect(port), connect(port), connect(port)
        talker.sendall(b"SSH-2.0-leaves")
        last.sendall(b"stays")
        wait_for(lambda: len(told.waits) == 3)
        silent.close()
        talker.close()
        wait_for(lambda: len(told.leavers) == 2)
        first.close()
        assert last.recv(100) == b"stays"
        last.close()
        assert told.opened_numbers == [1, 4]


def test_what_a_waiting_client_has_sent_arrives(serve: Serve) -> None:
    """More than is held, so that some of it stays in the kernel; the client has ended its sending half."""
    data = bytes(range(256)) * 800
    got = bytearray()
    done = threading.Event()

    def collect(client: socket.socket) -> None:
        if client.recv(1) != b"+":
            return
        while len(got) < len(data) and (more := client.recv(65536)):
            got.extend(more)
        client.sendall(b"thanks")
        done.set()

    listener = listening(serve(collect).dialer, max_connections=1, linger=5)
    with listener as (port, told), connect(port) as first, connect(port) as second:
        second.sendall(b"+" + data)
        second.shutdown(socket.SHUT_WR)
        wait_for(lambda: told.waits)
        first.sendall(b"-")
        assert second.recv(100) == b"thanks"
        assert done.wait(60)
        assert bytes(got) == data


def test_who_waits_too_long_is_told_why(serve: Serve, emulator: Emulator) -> None:
    service = serve(echo)
    service.dialer.queue_timeout = 0.2
    with listening(service.dialer, max_connections=1) as (port, told), connect(port) as first, connect(port) as second:
        first.sendall(b"x")
        assert first.recv(1) == b"x"
        assert second.recv(1) == b""
        wait_for(lambda: told.failures)
    error = told.failures[0]
    assert isinstance(error, ThrottledError)
    assert "became free within 0.2 s" in error.message
    assert "has 1 (limit 1)" in error.message


def test_an_endpoint_that_refuses_is_told_with_our_count(serve: Serve, emulator: Emulator) -> None:
    service = serve(echo)
    emulator.state.behave(max_connections=1)
    service.dialer.queue_timeout = 0.5
    link = service.dialer.open()
    try:
        with pytest.raises(
            ThrottledError, match=r"even after 0\.5 s; this process \(eicctl, PID \d+\) has 1: 1 to"
        ) as no:
            service.dialer.open()
        assert no.value.exit_code == 6
        assert no.value.request_id
    finally:
        link.close()
    assert slots_of(service.target.endpoint_id).used == 0


RATE = {"ErrorCode": "ThrottlingException", "Message": "Rate exceeded"}


def test_a_rate_is_told_in_the_services_words(serve: Serve, emulator: Emulator) -> None:
    """While it is waited, and at the end; of the 20 connections nothing is said."""
    service = serve(echo)
    emulator.add_fault("refuse", status=429, body=RATE, times=-1)
    service.dialer.queue_timeout = 1.5
    said = "The endpoint refuses the connection for now: ThrottlingException: Rate exceeded"
    notes: list[str] = []
    with pytest.raises(ThrottledError, match=f"{said}, even after 1.5 s") as no:
        service.dialer.open(waits=notes.append)
    assert "20" not in f"{no.value.hint}"
    assert notes == [f"waiting up to 1.5 s: {said}"]
    with listening(service.dialer) as (port, told), connect(port) as client:
        assert client.recv(1) == b""
        wait_for(lambda: told.failures)
        assert [error.message for error in told.retries] == [said]


def test_forward_tells_that_it_waits(emulator: Emulator, endpoint: dict[str, Any]) -> None:
    emulator.add_fault("refuse", status=429, body=RATE, times=1)
    with forwarding(Remote("localhost", 1)) as running:
        assert any("ThrottlingException: Rate exceeded" in error.message for error in running.record.errors)


def test_places_that_this_process_holds_are_told_while_it_waits(serve: Serve) -> None:
    service = serve(echo)
    slots_of(service.target.endpoint_id).limit = 1
    service.dialer.queue_timeout = 1.5
    notes: list[str] = []
    with contextlib.closing(service.dialer.open()), pytest.raises(ThrottledError):
        service.dialer.open(waits=notes.append)
    assert "this process has 1 connection to eice-" in notes[0]


@pytest.mark.parametrize(
    "words",
    [
        ("forward", "0:web-1:8080"),
        ("db", "db.internal:5432", "--via", "web-1", "--local-port", "0"),
    ],
)
def test_a_login_waits_no_longer_than_it_is_told(
    serve: Serve, emulator: Emulator, eicctl: Callable[..., Ran], words: tuple[str, ...]
) -> None:
    """For its slot; the only one is taken by a tunnel to elsewhere."""
    service = serve(echo)
    emulator.state.behave(max_connections=1)
    with contextlib.closing(service.dialer.open()):
        begun = time.monotonic()
        ran = eicctl(*words, "--host-key-check", "off", "--queue-timeout", "0.2")
    assert ran.code == 6
    assert "has reached its connection limit" in ran.err
    assert time.monotonic() - begun < 15  # untold, it is half a minute
