"""How the output of many hosts is shown."""

from __future__ import annotations

import re
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from eicctl.core import sanitize
from eicctl.core.names import MOST_SHOWN, counted, folded
from eicctl.view import messages
from eicctl.view.progress import Waiting

if TYPE_CHECKING:
    from eicctl.ssh.command_output import Output, Result


_ONE_BY_ONE = 10
"""Most failed hosts that have a line each."""

_SPECIFIC = re.compile(r"\bi-[0-9a-f]{8,17}\b|\b\d+\.\d+\.\d+\.\d+\b")
"""What differs between hosts that failed for one reason."""

_MOST_REASONS = 6
"""Reasons that a terminal shows, each with its hosts."""


class Progress(Waiting):
    """How many hosts are done, and how many of them failed."""

    def __init__(self, total: int) -> None:
        super().__init__("Running the command")
        self._total = total
        self._done = 0
        self._failed = 0
        self._count()

    def finished(self, result: Result) -> None:
        """Count a host."""
        self._done += 1
        self._failed += result.failed
        self._count()

    def _count(self) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self.show(f"{self._done} of {counted(self._total, 'host')} done{failed}")


class Grouped:
    """A host's output in one piece when it is done, with a heading."""

    keeps = True

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def take(self, label: str, stream: str, data: bytes) -> None:
        """Nothing is shown before the end."""

    def finished(self, result: Result) -> None:
        """Show the host."""
        error = f": {result.error}" if result.error else ""
        heading = f"── {result.label} ({result.instance_id}): exit {result.code}, {result.seconds:.1f} s{error}"
        with messages.printing():
            messages.out(sanitize.line(heading))
            sys.stdout.flush()
            for output, out in ((result.stdout, sys.stdout.buffer), (result.stderr, sys.stderr.buffer)):
                if output:
                    _copy(output, out)
                    output.drop()
        self._progress.finished(result)


class Prefixed:
    """Every line as it comes, with the host's name before it."""

    keeps = False

    def __init__(self, progress: Progress, width: int) -> None:
        self._progress = progress
        self._width = width
        self._lock = threading.Lock()
        self._rests: dict[tuple[str, str], bytes] = {}

    def take(self, label: str, stream: str, data: bytes) -> None:
        """Show the lines that are complete."""
        with self._lock:
            *lines, rest = (self._rests.pop((label, stream), b"") + data).split(b"\n")
            self._rests[label, stream] = rest
            if lines:
                self._write(label, stream, lines)

    def finished(self, result: Result) -> None:
        """Show an unfinished last line, and the host's result."""
        with self._lock:
            for stream in ("stdout", "stderr"):
                if rest := self._rests.pop((result.label, stream), b""):
                    self._write(result.label, stream, [rest])
            if result.failed:
                messages.line(
                    sanitize.line(f"{result.label:{self._width}} | {_reason(result)}"),
                    problem=True,
                )
            self._progress.finished(result)

    def _write(self, label: str, stream: str, lines: Sequence[bytes]) -> None:
        out = sys.stdout.buffer if stream == "stdout" else sys.stderr.buffer
        prefix = f"{sanitize.line(label):{self._width}} | ".encode()
        with messages.printing():
            out.write(b"".join(prefix + line.rstrip(b"\r") + b"\n" for line in lines))
            out.flush()


class Collected:
    """Nothing until the end, then JSON."""

    keeps = True

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def take(self, label: str, stream: str, data: bytes) -> None:
        """Nothing is shown before the end."""

    def finished(self, result: Result) -> None:
        """Count the host."""
        self._progress.finished(result)


def json_parts(results: Sequence[Result]) -> Iterator[str]:
    """Yield the results as a JSON list, in parts: all outputs at once may be more than fits in memory.

    Bytes that are no UTF-8 are replaced.
    """
    yield "["
    for number, result in enumerate(results):
        row = {
            "Name": result.label,
            "InstanceId": result.instance_id,
            "Failed": result.failed,
            "ExitCode": result.code,
            "Error": result.error,
            "Seconds": round(result.seconds, 3),
            "Stdout": _text(result.stdout),
            "Stderr": _text(result.stderr),
        }
        yield ("," if number else "") + "\n" + textwrap.indent(sanitize.json_text(row, indent=2), "  ")
    yield "\n]\n" if results else "]\n"


def summary(results: Sequence[Result], *, width: int) -> list[str]:
    """Return the result in lines: how many hosts succeeded, and which failed.

    More than a few that failed are listed by reason, each with its hosts.

    Args:
        results: The results.
        width: Columns of the terminal, on which not everything is shown; 0 where there is none.
    """
    failed = [result for result in results if result.failed]
    count = f"{len(results) - len(failed)} of {counted(len(results), 'host')} succeeded"
    if not failed:
        return [count]
    lines = [f"{count}, {len(failed)} failed"]
    if len(failed) <= _ONE_BY_ONE:
        return lines + [f"failed: {each.label} ({each.instance_id}): {_reason(each)}" for each in failed]
    by_reason: dict[str, list[str]] = {}
    for each in failed:
        by_reason.setdefault(_SPECIFIC.sub("…", _reason(each)), []).append(each.label)
    reasons = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    shown = reasons[:_MOST_REASONS] if width else reasons
    lines += [
        f"failed ({len(names)}): {reason}: {folded(names, MOST_SHOWN if width else len(names))}"
        for reason, names in shown
    ]
    if left := sum(len(names) for _, names in reasons[len(shown) :]):
        lines.append(
            f"failed ({left}): for {counted(len(reasons) - len(shown), 'other reason')}; --output json has all"
        )
    return lines


def _reason(result: Result) -> str:
    code = "" if result.code is None else f"exit {result.code}"
    return ": ".join(filter(None, (code, result.error)))


def _text(output: Output | None) -> str:
    return b"".join(output.read()).decode(errors="replace") if output else ""


def _copy(output: Output, out: BinaryIO) -> None:
    last = b"\n"
    for data in output.read():
        out.write(data)
        last = data[-1:] or last
    if last != b"\n":
        out.write(b"\n")
    out.flush()
