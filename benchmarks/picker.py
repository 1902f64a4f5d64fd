"""From Enter to the list in which one chooses a target, and from Enter in the list to the shell.

`python -m benchmarks.picker`. On a terminal of 80 columns, before a local AWS whose API takes 1.2 s for each call.
"""

from __future__ import annotations

import os
import pty
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import login
from benchmarks.login import EICCTL, run, world

ROUNDS = int(os.environ.get("ROUNDS") or 15)
LATENCY = 1.2
"""Seconds that a call of AWS's API takes."""

LONGEST = 60.0
"""Seconds in which whatever is expected is there."""


class Terminal:
    """A program on a terminal."""

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        self.started = time.perf_counter()
        self.pid, self._descriptor = pty.fork()
        if not self.pid:
            os.execvpe(words[0], words, {**env, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"})

    def until(self, text: bytes) -> float:
        """Wait until the program has written a text; return the ms since the last start."""
        written = b""
        while text not in written:
            if not select.select([self._descriptor], [], [], LONGEST)[0]:
                sys.exit(f"no {text!r} in {written!r}")
            written += os.read(self._descriptor, 65536)
        return 1000 * (time.perf_counter() - self.started)

    def press(self, keys: bytes) -> None:
        """Type; the time counts from now on."""
        self.started = time.perf_counter()
        os.write(self._descriptor, keys)

    def end(self) -> None:
        """Read what is left, and wait for the end."""
        try:
            while os.read(self._descriptor, 65536):
                pass
        except OSError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self._descriptor)


def to_list(env: dict[str, str]) -> float:
    """The ms from Enter to the list."""
    terminal = Terminal([EICCTL, "ssh"], env)
    found = terminal.until(b"web-1")
    terminal.press(b"\x1b")
    terminal.end()
    return found


def to_shell(env: dict[str, str]) -> float:
    """The ms from Enter in the list to what the shell's command writes."""
    terminal = Terminal([EICCTL, "ssh", "-o", "RemoteCommand=echo th''ere", "-t"], env)
    terminal.until(b"web-1")
    terminal.press(b"\r")
    found = terminal.until(b"there")
    terminal.end()
    return found


def bare(words: list[str]) -> Callable[[dict[str, str]], float]:
    """What the ms of a program are measured by that writes something and ends."""

    def measure(env: dict[str, str]) -> float:
        terminal = Terminal(words, env)
        found = terminal.until(b"\n")
        terminal.end()
        return found

    return measure


def main() -> None:
    """Measure in turns, and print a table."""
    login.ROUND_TRIP = LATENCY
    with tempfile.TemporaryDirectory(prefix="bench-") as text, world(Path(text)) as env:
        run([EICCTL, "instances"], env)  # the cache of names
        for _ in range(2):
            run([EICCTL, "ssh", "web-1", "--", "true"], env)
        login.slow_down(Path(text))
        rows = {
            "python": bare([sys.executable, "-c", "print()"]),
            "eicctl --help": bare([EICCTL, "--help"]),
            "Enter to the list": to_list,
            "Enter in the list to the shell": to_shell,
        }
        taken: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, measure in rows.items():
                taken[name].append(measure(env))
    print(f"With {LATENCY} s on every call of AWS:\n\n| what | median, ms | best, ms |\n| --- | --- | --- |")
    for name, times in taken.items():
        print(f"| {name} | {statistics.median(times):.0f} | {min(times):.0f} |")


if __name__ == "__main__":
    main()
