"""Where the time of a first byte goes: cold, and through the background process.

Each stage is a process that stops there; they take turns. What a stage adds is the difference of two medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.process import answered

ROUNDS = 25

COLD = {
    "Python": "pass",
    "the words": "import eicctl.fastpath.proxy",
    "session, model, request": "import eicctl.fastpath.proxy, eicctl.fastpath.direct",
    "websockets, ssl and the channel": (
        "import eicctl.fastpath.proxy, eicctl.fastpath.direct; from eicctl.fastpath.direct import load_websockets; "
        "load_websockets(); import eicctl.tunnel.dial, eicctl.tunnel.stdio"
    ),
}
WARM = {
    "Python": "pass",
    "the words": "import eicctl.fastpath.proxy",
    "what lends the pipes": "import eicctl.fastpath.proxy, eicctl.agent.delegate",
}


def process_time(code: str, env: dict[str, str]) -> float:
    """Seconds for a process that runs some code."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    return time.perf_counter() - started


def stages(codes: dict[str, str], words: list[str], env: dict[str, str], last: str) -> list[str]:
    """The lines of a table: what each stage adds, in ms; the last one is the rest up to the first byte."""
    taken: dict[str, list[float]] = {name: [] for name in (*codes, last)}
    for _ in range(ROUNDS):
        for name, code in codes.items():
            taken[name].append(process_time(code, env))
        process, seconds = answered(words, env)
        process.communicate()
        taken[last].append(seconds)
    lines = ["| stage | adds, ms | by then, ms |", "| --- | --- | --- |"]
    before = 0.0
    for name, times in taken.items():
        by_then = 1000 * statistics.median(times)
        lines.append(f"| {name} | {by_then - before:.0f} | {by_then:.0f} |")
        before = by_then
    return lines
