"""`eicctl ui`: from Enter to the cache's rows on a terminal, and what 5,000 instances take.

`python -m benchmarks.console`. The first figures are of a process on a pseudo-terminal, and of the CPU that it has used
by then; the others are CPU until the screen is drawn again, the best of five.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

from eicctl.aws import caches
from eicctl.aws.session import Session
from eicctl.cli import eicctl
from eicctl.ui.app import Console, Scope
from eicctl.ui.instances import Instances, Line

ROUNDS = 10
MANY = 5000
EICCTL = str(Path(sys.executable).with_name("eicctl"))


def first_frame() -> tuple[float, float]:
    """Start the console; return the milliseconds until a known row is written, and those of CPU."""
    started = time.perf_counter()
    process, terminal = pty.fork()
    if not process:
        os.execl(EICCTL, EICCTL, "ui")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    written = b""
    while b"known-" not in written:
        written += os.read(terminal, 2**16)
    taken = time.perf_counter() - started
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(terminal)
    return 1000 * taken, 1000 * ticks / os.sysconf("SC_CLK_TCK")


async def table() -> dict[str, float]:
    """Return the milliseconds that each operation takes on the pane of instances."""
    lines = [
        Line(
            *("", ("us-east-1", "eu-west-1")[at % 2], f"i-{at * 7919:017x}", f"node-{at * 31 % MANY}"),
            *("running" if at % 9 else "stopped", "linux", f"10.0.{at // 250}.{at % 250}", "us-east-1a"),
            *("office", "yes", "ok"),
        )
        for at in range(MANY)
    ]
    app = Console(Scope([Session(region="us-east-1")]), eicctl)
    async with app.run_test(size=(120, 30)) as pilot:
        pane = app.current
        assert isinstance(pane, Instances)
        while app.is_waiting:
            await pilot.pause(0.1)
        steps: dict[str, Callable[[], object]] = {
            "rows set": lambda: pane._show(lines),
            "filter": lambda: pane.table.filter("node-12"),
            "no filter": lambda: pane.table.filter(""),
            "page down": lambda: pane.table.action_page(1),
            "last row": lambda: pane.table.action_move(MANY),
            "sort": lambda: pane.table.sort(1),
            "sort downward": lambda: pane.table.sort(1, reverse=True),
        }
        taken = {}
        for name, step in steps.items():
            best = 1e9
            for _ in range(5):
                started = time.process_time()
                step()
                await pilot.pause(0)
                best = min(best, time.process_time() - started)
            taken[name] = 1000 * best
        return taken


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ |= {"EICCTL_HOME": folder, "HOME": folder, "EICCTL_AGENT": "off", "TERM": "xterm-256color"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
        os.environ |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}  # nothing answers: the rows are the cache's
        rows = {f"i-{at:017x}": (f"known-{at}", "running", "linux", "10.0.1.7", "us-east-1a", "") for at in range(50)}
        caches.note_names(Session(), caches.INSTANCES, rows, region="us-east-1")
        first_frame()  # byte code
        frames = [first_frame() for _ in range(ROUNDS)]
        print("| what | ms |\n| --- | --- |")
        for name, values in zip(("first frame with rows", "its CPU"), zip(*frames, strict=True), strict=True):
            print(f"| {name}, median (best) | {statistics.median(values):.0f} ({min(values):.0f}) |")
        for name, value in asyncio.run(table()).items():
            print(f"| {MANY:,} instances: {name} | {value:.0f} |")


if __name__ == "__main__":
    main()
