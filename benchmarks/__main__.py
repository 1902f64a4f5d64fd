"""Measure the clients and print one table: medians, and each as a ratio to the plain script's."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.world import TRANSFER, Client, connect, free_port, world

Measures = dict[str, float]
ROUNDS = 3


def stdio(client: Client, env: dict[str, str]) -> Measures:
    """First byte in ProxyCommand mode, and the time from EOF to the end of the process."""
    first, end = [], []
    for _ in range(9):
        started = time.perf_counter()
        process = subprocess.Popen(client.stdio, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"e")
        process.stdin.flush()
        process.stdout.read(1)
        first.append(time.perf_counter() - started)
        started = time.perf_counter()
        process.stdin.close()
        process.wait()
        process.stdout.close()
        end.append(time.perf_counter() - started)
    return {
        "stdio: first byte, ms": 1000 * statistics.median(first),
        "stdio: end after EOF, ms": 1000 * statistics.median(end),
    }


def listener(client: Client, env: dict[str, str]) -> Measures:
    """A listener: connect, round trip, keystroke, bulk, memory."""
    port = free_port()
    words = [word.format(port=port) for word in client.listen]
    process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connect(port, b"e").close()
        return {
            "connect to first byte, ms": 1000 * statistics.median(repeat(lambda: connect(port, b"e").close(), 50)),
            **round_trips(port),
            **bulk(port, process.pid),
        }
    finally:
        process.terminate()
        process.wait()


def repeat(action: Callable[[], None], times: int) -> list[float]:
    """Time an action several times."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return taken


def round_trips(port: int) -> Measures:
    """One byte there and back: at once, and after a pause as of somebody typing."""
    with connect(port, b"e") as sock:

        def trip() -> None:
            sock.sendall(b"x")
            sock.recv(1)

        at_once = sorted(repeat(trip, 2000))
        typed = []
        for _ in range(40):
            time.sleep(random.uniform(0.08, 0.2))
            typed += repeat(trip, 1)
    return {
        "round trip p50, ms": 1000 * at_once[len(at_once) // 2],
        "round trip p99, ms": 1000 * at_once[int(len(at_once) * 0.99)],
        "keystroke p99, ms": 1000 * sorted(typed)[-1],
    }


def bulk(port: int, pid: int) -> Measures:
    """Bulk transfers both ways, with the client's CPU time."""
    idle = resident(pid)
    with connect(port, b"d") as sock:
        cpu, started = cpu_seconds(pid), time.perf_counter()
        buffer, left = bytearray(2**18), TRANSFER
        while left > 0:
            left -= sock.recv_into(buffer)
        down, down_cpu = time.perf_counter() - started, cpu_seconds(pid) - cpu
    with connect(port, b"u") as sock:
        cpu, started = cpu_seconds(pid), time.perf_counter()
        block = bytes(65536)
        for _ in range(TRANSFER // len(block)):
            sock.sendall(block)
        sock.recv(1)
        up, up_cpu = time.perf_counter() - started, cpu_seconds(pid) - cpu
    return {
        "down, s/GB": down * 1e9 / TRANSFER,
        "down, CPU-s/GB": down_cpu * 1e9 / TRANSFER,
        "up, s/GB": up * 1e9 / TRANSFER,
        "up, CPU-s/GB": up_cpu * 1e9 / TRANSFER,
        "memory before bulk, MB": idle / 1e6,
    }


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Resident memory of a process in bytes (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def help_time() -> float:
    """`eicctl --help`, in ms."""
    eicctl = str(Path(sys.executable).with_name("eicctl"))

    def run() -> None:
        subprocess.run([eicctl, "--help"], capture_output=True, check=True)

    return 1000 * statistics.median(repeat(run, 11))


def main() -> None:
    """Measure each client in turns, so that what else the machine does falls on all."""
    with world() as (clients, env):
        runs: dict[str, list[Measures]] = {client.name: [] for client in clients}
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
            for client in clients:
                runs[client.name].append(stdio(client, env) | listener(client, env))
    medians = {name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items()}
    base = medians["plain script"]
    print("| what | " + " | ".join(f"{name} | ratio" if name != "plain script" else name for name in medians) + " |")
    print("| --- |" + " --- |" * (2 * len(medians) - 1))
    for key, plain in base.items():
        cells = [f"{plain:.2f}"]
        for name, measures in medians.items():
            if name != "plain script":
                cells += [f"{measures[key]:.2f}", f"{measures[key] / plain:.2f}"]
        print(f"| {key} | " + " | ".join(cells) + " |")
    print(f"\n`eicctl --help`: {help_time():.0f} ms")


if __name__ == "__main__":
    main()
