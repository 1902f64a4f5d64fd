"""Connection churn: short connections by the thousand, and the memory that they leave behind.

    python -m benchmarks.churn [--count 10000] [--only tunnel,forward,up,background]

Each connection reads its target's greeting and is closed, 10 at a time. It ends with 1 if a connection failed, or if
the resident memory has grown by more than 5 MB since the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import create_connection

from benchmarks.process import resident
from benchmarks.soak import PROGRAM, local_aws

AT_ONCE = 10
MOST_GROWTH = 5e6
KINDS = ("tunnel", "forward", "up", "background")


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The target of `forward`."""
    with contextlib.suppress(OSError):
        writer.write(b"220 hello\r\n")
        await reader.read()
    writer.close()


@contextlib.contextmanager
def serving(kind: str, target: int, env: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The port and the process of something that listens."""
    folder = Path(env["HOME"])
    (folder / "eicctl.toml").write_text('[tunnel.web]\ntarget = "web-1"\nremote_port = 22\nlocal_port = 0\n')
    if kind == "background":
        run = [*PROGRAM, "up", "--detach"]
        subprocess.run(run, env=env, cwd=folder, check=True, capture_output=True)
        shown = subprocess.run([*PROGRAM, "ps", "--output", "json"], env=env, check=True, capture_output=True).stdout
        (row,) = json.loads(shown)
        try:
            yield row["LocalPort"], row["Pid"]
        finally:
            subprocess.run([*PROGRAM, "down", "--all"], env=env, check=True, capture_output=True)
        return
    words = {
        "tunnel": ["tunnel", "web-1", "--remote-port", "22"],
        "forward": ["forward", f"0:web-1:{target}"],
        "up": ["up"],
    }[kind]
    log = (folder / "events").open("w+")
    with (
        log,
        subprocess.Popen(
            [*PROGRAM, *words, "--output", "json"], env=env, cwd=folder, stdout=log, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            yield _port(folder / "events"), process.pid
        finally:
            process.terminate()


def _port(events: Path) -> int:
    """Wait for the port that a command listens on."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in events.read_text().splitlines(keepends=True):
            told = json.loads(line) if line.endswith("\n") else {}
            if told.get("LocalPort") and told.get("State", "open") == "open":
                return int(told["LocalPort"])
        time.sleep(0.1)
    raise RuntimeError("nothing listens")


def churn(kind: str, count: int, target: int, env: dict[str, str]) -> bool:
    """Make the connections, and print how memory goes; return whether all is well."""
    failures: list[str] = []

    def visit(_number: int) -> None:
        try:
            with create_connection(("127.0.0.1", port), timeout=60) as client:
                if not client.recv(100):
                    failures.append("no greeting")
        except OSError as error:
            failures.append(f"{type(error).__name__} {error}")

    with serving(kind, target, env) as (port, pid), ThreadPoolExecutor(AT_ONCE) as pool:
        started = time.monotonic()
        memory = []
        for _ in range(10):
            list(pool.map(visit, range(count // 10)))
            time.sleep(0.5)  # the last ones end
            memory.append(resident(pid))
        seconds = time.monotonic() - started - 5
    growth = memory[-1] - memory[0]
    steps = " ".join(f"{step / 1e6:.1f}" for step in memory)
    print(
        f"{kind:10} {count:,} connections, {count / seconds:.0f} a second, {len(failures)} failed; MB: {steps}",
        flush=True,
    )
    for failure in failures[:5]:
        print(f"  {failure}")
    return not failures and growth <= MOST_GROWTH


async def main() -> int:
    """Read the command line, and make the connections of each kind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.churn", description="Short connections, and memory.")
    parser.add_argument("--count", type=int, default=10_000, help="connections of each kind (default: 10000)")
    parser.add_argument("--only", type=lambda text: text.split(","), default=KINDS, metavar=",".join(KINDS))
    given = parser.parse_args()
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[1]
    with local_aws() as (env, _):
        good = [await asyncio.to_thread(churn, kind, given.count, target, env) for kind in given.only]
    server.close()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
