"""What can be measured of a process (Linux) and of an action."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

Measures = dict[str, float]


def repeat(action: Callable[[], None], times: int) -> list[float]:
    """Time an action several times; seconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return taken


def answered(words: list[str], env: dict[str, str]) -> tuple[subprocess.Popen[bytes], float]:
    """Start a client on pipes, and wait for its target's first byte; return the client, and the seconds that took."""
    started = time.perf_counter()
    process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"e")
    process.stdin.flush()
    if process.stdout.read(1) != b"!":
        raise RuntimeError(f"no answer through {shlex.join(words)}")
    return process, time.perf_counter() - started


def end(process: subprocess.Popen[bytes]) -> float | None:
    """Close a client's stdin, and wait for its end; seconds, or None for one that was killed as it went on for 3 s."""
    assert process.stdin
    assert process.stdout
    started = time.perf_counter()
    process.stdin.close()
    try:
        process.wait(timeout=3)
        return time.perf_counter() - started
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    finally:
        process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
