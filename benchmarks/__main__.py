"""Measure the clients and print one table: medians of the rounds, and each as a ratio to the plain script's.

`python -m benchmarks --help` tells how to choose rows, rounds and further clients.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import random
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.crowd import crowds, short, stalls
from benchmarks.listeners import PLACES
from benchmarks.process import Measures, answered, cpu_seconds, end, repeat, resident
from benchmarks.stages import COLD, WARM, stages
from benchmarks.world import TRANSFER, Client, connect, free_ports, world

GROUPS = ("stdio", "listen", "trips", "bulk", "short", "crowd", "stall", "help", "stages", "login", "listing", "picker")
FORKS = 50
RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def stdio(words: list[str], env: dict[str, str]) -> Measures:
    """First byte in ProxyCommand mode, and the time from EOF to the end of the process."""
    first, ends = [], []
    for _ in range(9):
        process, seconds = answered(words, env)
        first.append(seconds)
        ends.append(end(process))
    found = {"stdio: first byte, ms": 1000 * statistics.median(first)}
    if seen := [seconds for seconds in ends if seconds is not None]:
        found["stdio: end after EOF, ms"] = 1000 * statistics.median(seen)
    return found


@contextmanager
def warm(words: list[str], env: dict[str, str]) -> Iterator[dict[str, str]]:
    """An environment with a background process, which a first connection has started."""
    warmed = env | {"EICCTL_AGENT": "on"}
    process = subprocess.Popen(words, env=warmed, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sockets = Path(env["EICCTL_HOME"]) / "run"
    while not list(sockets.glob("agent-*.sock")):
        time.sleep(0.05)
    process.communicate()
    time.sleep(1)  # it loads what it will need
    try:
        yield warmed
    finally:
        subprocess.run([words[0], "down", "--all"], env=warmed, capture_output=True, check=False)


def forks(words: list[str], env: dict[str, str]) -> Measures:
    """As many clients at a time as Ansible has forks: each hears from its target and ends, 50 at once, 100 in all."""

    def one(_number: int) -> None:
        end(answered(words, env)[0])

    started = time.perf_counter()
    with ThreadPoolExecutor(FORKS) as pool:
        list(pool.map(one, range(2 * FORKS)))
    return {f"stdio: {2 * FORKS} clients, {FORKS} at once, s": time.perf_counter() - started}


@contextmanager
def running(client: Client, env: dict[str, str], count: int = 1) -> Iterator[tuple[int, int, float]]:
    """A listener of a client: its first port of so many, its process, and the ms that it took to listen."""
    port = free_ports(count)
    started = time.perf_counter()
    words = [word.format(port=port, count=count) for word in (client.many if count > 1 else client.listen)]
    process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port + count - 1)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.perf_counter() - started > 30:
                    raise RuntimeError(f"{client.name} does not listen: {shlex.join(words)}") from None
                time.sleep(0.002)
        yield port, process.pid, 1000 * (time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait()


def listener(client: Client, env: dict[str, str], chosen: argparse.Namespace) -> Measures:
    """The rows of a listener."""
    only = chosen.only
    found: Measures = {}
    with running(client, env) as (port, pid, start):
        connect(port, b"e").close()
        if "listen" in only:
            opened = repeat(lambda: connect(port, b"e").close(), 50)
            found |= {"start to listening, ms": start, "connect to first byte, ms": 1000 * statistics.median(opened)}
            found["idle memory, MB"] = resident(pid) / 1e6
        if "trips" in only:
            found |= round_trips(port, chosen.keystrokes)
        if "bulk" in only:
            found |= bulk(port, pid)
        if "stall" in only:
            found |= stalls(port, pid)
        if "short" in only:
            found |= short(port)
    if "crowd" in only:
        count = -(-max(chosen.crowds) // PLACES) if client.many else 1
        with running(client, env, count) as (port, pid, _):
            found |= crowds(range(port, port + count), pid, chosen.crowds)
    return found


def round_trips(port: int, keystrokes: int) -> Measures:
    """One byte there and back: at once, and after a pause as of somebody typing."""
    with connect(port, b"e") as sock:

        def trip() -> None:
            sock.sendall(b"x")
            sock.recv(1)

        at_once = sorted(repeat(trip, 2000))
        typed = []
        for _ in range(keystrokes):
            time.sleep(random.uniform(0.08, 0.2))
            typed += repeat(trip, 1)
    typed.sort()
    return {
        "round trip p50, ms": 1000 * at_once[len(at_once) // 2],
        "round trip p99, ms": 1000 * at_once[int(len(at_once) * 0.99)],
        "keystroke p50, ms": 1000 * typed[len(typed) // 2],
        "keystroke p99, ms": 1000 * typed[int(len(typed) * 0.99)],
    }


def bulk(port: int, pid: int) -> Measures:
    """Bulk transfers both ways, with the client's CPU time."""
    with connect(port, b"d") as sock:
        cpu, started = cpu_seconds(pid), time.perf_counter()
        buffer, left = bytearray(2**18), TRANSFER
        while left > 0:
            if not (size := sock.recv_into(buffer)):
                raise RuntimeError("the transfer ended early")
            left -= size
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
    }


def help_time(env: dict[str, str]) -> float:
    """`eicctl --help`, in ms."""
    eicctl = str(Path(sys.executable).with_name("eicctl"))

    def run() -> None:
        subprocess.run([eicctl, "--help"], env=env, capture_output=True, check=True)

    run()
    return 1000 * statistics.median(repeat(run, 11))


def where_the_time_goes(words: list[str], env: dict[str, str]) -> list[str]:
    """The stages of eicctl's first byte."""
    lines = ["", "Where the time of a first byte goes, cold:", ""]
    lines += stages(COLD, words, env, "DNS, TCP, TLS, the handshake and the byte")
    lines += ["", "And through the background process:", ""]
    with warm(words, env) as warmed:
        lines += stages(WARM, words, warmed, "asking, the same in the process, and the byte")
    return lines


def measured(clients: list[Client], env: dict[str, str], chosen: argparse.Namespace) -> dict[str, list[Measures]]:
    """Measure the clients in turns, so that what else the machine does falls on all."""
    runs: dict[str, list[Measures]] = {client.name: [] for client in clients}
    for number in range(chosen.rounds):
        print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr)
        for client in clients:
            found: Measures = {}
            if "stdio" in chosen.only:
                found |= stdio(client.stdio, env | client.env) | forks(client.stdio, env | client.env)
                if client.name == "eicctl":
                    with warm(client.stdio, env) as warmed:
                        measures = stdio(client.stdio, warmed) | forks(client.stdio, warmed)
                    found |= {key.replace("stdio", "stdio, warm"): value for key, value in measures.items()}
            if client.listen and {"listen", "trips", "bulk", "short", "crowd", "stall"} & set(chosen.only):
                found |= listener(client, env | client.env, chosen)
            runs[client.name].append(found)
    return runs


def table(runs: dict[str, list[Measures]]) -> list[str]:
    """The lines of the table: medians, and ratios to the first client."""
    medians = {
        name: {key: statistics.median(run[key] for run in of if key in run) for key in of[0]}
        for name, of in runs.items()
    }
    names = list(medians)
    keys = list(dict.fromkeys(key for measures in medians.values() for key in measures))
    base = medians[names[0]]
    lines = [f"| what | {names[0]} | " + " | ".join(f"{name} | ratio" for name in names[1:]) + " |"]
    lines.append("| --- |" + " --- |" * (2 * len(names) - 1))
    for key in keys:
        # A warm start has nothing of its own kind to be compared with.
        plain = base.get(key.replace("stdio, warm", "stdio"))
        cells = [f"{base[key]:.2f}" if key in base else ""]
        for name in names[1:]:
            value = medians[name].get(key)
            cells += ["" if value is None else f"{value:.2f}", f"{value / plain:.2f}" if value and plain else ""]
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return lines


def arguments() -> argparse.Namespace:
    """The words of the call."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(GROUPS), metavar=",".join(GROUPS))
    parser.add_argument("--keystrokes", type=int, default=200, help="keystrokes a round")
    parser.add_argument(
        "--crowds", type=lambda text: [int(size) for size in text.split(",")], default=[100, 1000], metavar="N,N"
    )
    parser.add_argument(
        "--client",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "LISTEN", "STDIO"),
        help="one more client, as command lines with {port}, {endpoint}; LISTEN may be empty",
    )
    parser.add_argument("--write", action="store_true", help=f"put the table into {RESULTS.name} too")
    chosen = parser.parse_args()
    if unknown := set(chosen.only) - set(GROUPS):
        parser.error(f"no such rows: {', '.join(unknown)}")
    return chosen


def main() -> None:
    """Measure, and print the table with what it was measured on."""
    chosen = arguments()
    today = datetime.datetime.now(datetime.UTC)
    lines = [
        f"`{shlex.join(['python', '-m', 'benchmarks', *sys.argv[1:]])}`, {today:%Y-%m-%d}, "
        f"{platform.platform()}, Python {platform.python_version()}, "
        f"load at the start {Path('/proc/loadavg').read_text().split()[0]}.",
        "",
    ]
    with world() as (clients, env):
        endpoint = next(word for word in clients[0].stdio if word.startswith("localhost:"))
        for name, listen, through in chosen.client:
            words = [shlex.split(text.replace("{endpoint}", endpoint)) for text in (listen, through)]
            clients.append(Client(name, words[0], words[1]))
        lines += table(measured(clients, env, chosen))
        if "stages" in chosen.only:
            lines += where_the_time_goes(clients[1].stdio, env)
        if "help" in chosen.only:
            lines += ["", f"`eicctl --help`: {help_time(env):.0f} ms."]
    if "login" in chosen.only:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.login"], stdout=subprocess.PIPE, text=True, check=False
        )
        lines += ["", "Logins:", "", done.stdout.strip() or "(failed)"]
    if "listing" in chosen.only:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.listing"], stdout=subprocess.PIPE, text=True, check=False
        )
        lines += ["", "Listing the endpoints:", "", done.stdout.strip() or "(failed)"]
    if "picker" in chosen.only:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.picker"], stdout=subprocess.PIPE, text=True, check=False
        )
        lines += ["", "The list in which one chooses a target:", "", done.stdout.strip() or "(failed)"]
    print("\n".join(lines))
    if chosen.write:
        before, _, rest = RESULTS.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        RESULTS.write_text("\n".join([before + BEGIN, *lines, END + after]))


if __name__ == "__main__":
    main()
