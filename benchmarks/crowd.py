"""Many connections at a time, and connections of which one side has stopped."""

from __future__ import annotations

import contextlib
import resource
import socket
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.process import Measures, repeat, resident
from benchmarks.world import connect

STALL = 2.0
"""Seconds for which a side does not read."""


def crowds(ports: Sequence[int], pid: int, sizes: list[int]) -> Measures:
    """Time to open so many connections and to hear from each target, and the client's memory for each.

    Several ports take turns.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found: Measures = {}
    for size in sizes:
        with contextlib.ExitStack() as cleanup:
            before, started = resident(pid), time.perf_counter()
            clients = []
            for number in range(size):
                address = ("127.0.0.1", ports[number % len(ports)])
                client = cleanup.enter_context(socket.create_connection(address, timeout=120))
                client.sendall(b"e")
                clients.append(client)
            for client in clients:
                if client.recv(1) != b"!":
                    raise RuntimeError(f"one of {size} connections was closed")
            found[f"{size} connections, s"] = time.perf_counter() - started
            found[f"{size} connections, KB each"] = (resident(pid) - before) / size / 1e3
        time.sleep(1)  # they end
    return found


def short(port: int) -> Measures:
    """Connections that hear from their target and are closed: 500, 10 at a time, each of which takes a place."""

    def visit(_number: int) -> None:
        connect(port, b"e").close()

    started = time.perf_counter()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(visit, range(500)))
    return {"short connections, a second": 500 / (time.perf_counter() - started)}


def stalls(port: int, pid: int) -> Measures:
    """Growth of the client's memory while one side does not read, and a round trip on another connection meanwhile.

    A client that keeps the other connection waiting has no round trip.
    """
    found: Measures = {}
    for name, kind in (("reader", b"d"), ("target", b"s")):
        with connect(port, b"e") as other, connect(port, kind) as stalled:
            before = resident(pid)
            if kind == b"s":
                _push(stalled)
            else:
                time.sleep(STALL)

            def trip(sock: socket.socket = other) -> None:
                sock.sendall(b"x")
                sock.recv(1)

            found[f"stalled {name}: growth, MB"] = (resident(pid) - before) / 1e6
            with contextlib.suppress(TimeoutError):
                found[f"stalled {name}: other's round trip p50, ms"] = 1000 * statistics.median(repeat(trip, 500))
    return found


def _push(sock: socket.socket) -> None:
    """Send until nothing more is taken."""
    sock.setblocking(False)
    block, end = bytes(65536), time.monotonic() + STALL
    while time.monotonic() < end:
        try:
            sock.send(block)
        except BlockingIOError:
            time.sleep(0.01)
