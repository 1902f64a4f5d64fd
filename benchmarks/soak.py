"""A soak of `eicctl forward`: connections come and go for long, and every 20 s the SSH connection below is renewed.

    python -m benchmarks.soak [--minutes 30] [--connections 50]

Every byte that comes back is compared with what was sent. It prints what `eicctl` takes as it goes, and ends with 1 if
anything failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DURATION = 27
"""Seconds of a tunnel's life; its successor is made when a quarter is left, so every 20 seconds."""

LONGEST = 4.0
"""Seconds of a connection's life at the most: less than what its tunnel has left when its successor is made."""

PROGRAM = [sys.executable, "-m", "eicctl"]


@dataclass
class Count:
    """What has happened so far."""

    done: int = 0
    failures: list[str] = field(default_factory=list)
    transferred: int = 0
    slowest: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    most_tunnels: int = 0


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The target."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    writer.close()


async def visit(port: int, source: random.Random, count: Count) -> None:
    """Make one connection that says several things with pauses, and compare each answer."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(source.choice(("127.0.0.1", "::1")), port)
    until = started + source.uniform(0, LONGEST)
    while True:
        data = source.randbytes(source.choice((1, 100, 10_000, 200_000)))
        sent = time.monotonic()
        writer.write(data)
        received = await reader.readexactly(len(data))
        count.slowest = max(count.slowest, time.monotonic() - sent)
        if received != data:
            raise ValueError("other bytes came back")
        count.transferred += 2 * len(data)
        if time.monotonic() > until:
            break
        await asyncio.sleep(source.uniform(0, 0.5))
    writer.write_eof()
    if await reader.read():
        raise ValueError("more came back than was sent")
    writer.close()
    await writer.wait_closed()


async def come_and_go(port: int, number: int, end: float, count: Count) -> None:
    """One connection after another until the end."""
    source = random.Random(number)
    while time.monotonic() < end:
        try:
            async with asyncio.timeout(30):
                await visit(port, source, count)
            count.done += 1
        except (OSError, ValueError, EOFError) as error:
            count.failures.append(f"{time.monotonic() - end:.1f} s: {type(error).__name__} {error}")
        await asyncio.sleep(source.uniform(0, 1))


async def report(pid: int, seconds: float, count: Count, local: dict[str, str]) -> None:
    """Print how it goes, some ten times."""
    started = time.monotonic()
    print("     s  connections       MB  failures  renewed  RSS, KiB   fds  threads")
    due = 0.0
    while True:
        await asyncio.sleep(1)
        count.most_tunnels = max(count.most_tunnels, await asyncio.to_thread(tunnels, local))
        elapsed = time.monotonic() - started
        if elapsed < due:
            continue
        due += seconds / 10
        status = Path(f"/proc/{pid}/status").read_text()
        memory, threads = (int(status.split(f"{key}:")[1].split()[0]) for key in ("VmRSS", "Threads"))
        files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        print(
            f"{elapsed:6.0f} {count.done:12,} {count.transferred / 1e6:8,.0f} {len(count.failures):9} "
            f"{count.events['renewed']:8} {memory:9,} {files:5} {threads:8}",
            flush=True,
        )


def tunnels(local: dict[str, str]) -> int:
    """How many connections the emulated endpoint carries now."""
    request = urllib.request.Request(
        f"{local['url']}/_eicctl/connections", headers={"Authorization": f"Bearer {local['token']}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return len(json.load(answer))


def follow(process: subprocess.Popen[str], count: Count) -> None:
    """Count what `eicctl forward` tells."""
    assert process.stdout
    for line in process.stdout:
        event = json.loads(line)
        count.events[event["Event"]] += 1
        if event["Event"] in ("failed", "lost", "expired", "retrying"):
            print(line.strip(), flush=True)


@contextlib.contextmanager
def local_aws() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A local AWS with an endpoint: the environment that leads to it, and where its own API is."""
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        env |= {"HOME": folder, "EICCTL_HOME": folder}
        subprocess.run(
            [*PROGRAM, "local", "up", "--detach", "--transition", "0"], env=env, check=True, capture_output=True
        )
        try:
            lines = subprocess.run(
                [*PROGRAM, "local", "env"], env=env, check=True, capture_output=True, text=True
            ).stdout
            for line in lines.splitlines():
                if line.startswith("export "):
                    name, _, value = shlex.split(line)[1].partition("=")
                    env[name] = value
            subprocess.run([*PROGRAM, "create-endpoint", "--wait"], env=env, check=True, capture_output=True)
            yield env, json.loads(next(Path(folder).rglob("running.json")).read_text())
        finally:
            subprocess.run([*PROGRAM, "local", "down"], env=env, check=False, capture_output=True)


async def soak(minutes: float, connections: int) -> int:
    """Run the whole; return the exit code."""
    count = Count()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[1]
    with local_aws() as (env, local):
        words = ["forward", f"0:web-1:{target}", "--max-tunnel-duration", str(DURATION), "--output", "json"]
        with subprocess.Popen([*PROGRAM, *words], env=env, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
            assert process.stdout
            while (event := json.loads(process.stdout.readline()))["Event"] != "listening":
                pass
            threading.Thread(target=follow, args=(process, count), daemon=True).start()
            seconds = 60 * minutes
            reporter = asyncio.create_task(report(process.pid, seconds, count, local))
            end = time.monotonic() + seconds
            await asyncio.gather(*(come_and_go(event["LocalPort"], n, end, count) for n in range(connections)))
            reporter.cancel()
            process.terminate()
    server.close()
    print(
        f"\n{count.done:,} connections, {count.transferred / 1e9:.2f} GB, {len(count.failures)} failures; "
        f"{count.events['renewed']} renewals, {count.most_tunnels} tunnels at once at the most; "
        f"slowest answer {count.slowest:.2f} s"
    )
    for failure in count.failures[:20]:
        print(failure)
    return 1 if count.failures or not count.done else 0


def main() -> int:
    """Read the command line and soak."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="A soak of eicctl forward.")
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--connections", type=int, default=50, help="how many at a time (default: 50)")
    given = parser.parse_args()
    return asyncio.run(soak(given.minutes, given.connections))


if __name__ == "__main__":
    sys.exit(main())
