"""How the output of many hosts is shown."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from eicctl.core import sanitize
from eicctl.view import messages
from eicctl.view.progress import Waiting

if TYPE_CHECKING:
    from eicctl.ssh.fleet import Result


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
        self.show(f"{self._done} of {self._total} hosts done{failed}")


class Grouped:
    """A host's output in one piece when it is done, with a heading."""

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
            for file, out in ((result.stdout, sys.stdout.buffer), (result.stderr, sys.stderr.buffer)):
                file.seek(0)
                _copy(file, out)  # type: ignore[arg-type] # a spooled file has what is needed
        self._progress.finished(result)


class Prefixed:
    """Every line as it comes, with the host's name before it."""

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
                    sanitize.line(f"{result.label:{self._width}} | exit {result.code} {result.error}".rstrip()),
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

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def take(self, label: str, stream: str, data: bytes) -> None:
        """Nothing is shown before the end."""

    def finished(self, result: Result) -> None:
        """Count the host."""
        self._progress.finished(result)


def as_json(results: Sequence[Result]) -> str:
    """Return the results as JSON. Bytes that are no UTF-8 are replaced."""
    rows = [
        {
            "Name": result.label,
            "InstanceId": result.instance_id,
            "Failed": result.failed,
            "ExitCode": result.code,
            "Error": result.error,
            "Seconds": round(result.seconds, 3),
            "Stdout": _text(result.stdout),  # type: ignore[arg-type]
            "Stderr": _text(result.stderr),  # type: ignore[arg-type]
        }
        for result in results
    ]
    return sanitize.json_text(rows, indent=2)


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _copy(file: BinaryIO, out: BinaryIO) -> None:
    last = b"\n"
    while data := file.read(65536):
        out.write(data)
        last = data[-1:]
    if last != b"\n":
        out.write(b"\n")
    out.flush()
