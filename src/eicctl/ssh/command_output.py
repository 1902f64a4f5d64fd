"""What a command on one of many hosts has written, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eicctl.core.errors import EicctlError

_IN_MEMORY = 2**15
"""Bytes of a stream that are kept in memory."""


class Output:
    """What a command has written to a stream: in memory, or where it is much in a file, which is open only while it is
    written or read. A thousand hosts have more of them than a process has file descriptors.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._memory = b""
        self._on_disk = False

    def write(self, data: bytes) -> None:
        """Add bytes."""
        if not self._on_disk and len(self._memory) + len(data) <= _IN_MEMORY:
            self._memory += data
            return
        with self._file.open("ab") as file:
            file.write(self._memory + data)
        self._memory, self._on_disk = b"", True

    def read(self) -> Iterator[bytes]:
        """Yield what was written."""
        if not self._on_disk:
            yield self._memory
            return
        with self._file.open("rb") as file:
            while data := file.read(65536):
                yield data

    def last_line(self) -> str:
        """Return the last line that has text, or an empty string."""
        tail = b""
        for data in self.read():
            tail = (tail + data)[-2000:]
        lines = tail.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def drop(self) -> None:
        """Forget what was written."""
        self._memory = b""
        if self._on_disk:
            self._file.unlink(missing_ok=True)
            self._on_disk = False


@dataclass
class Result:
    """The result of one host.

    Attributes:
        label: Its name.
        instance_id: Its ID.
        code: The command's exit code, 255 where the connection failed, 124 where it took too long; None where it was
            not run.
        error: Why there was no connection or no end, or an empty string.
        cause: The error behind `error`, where it is one of ours.
        seconds: How long it took.
        stdout: What the command wrote there; None where it was not run.
        stderr: Likewise.
    """

    label: str
    instance_id: str
    code: int | None = None
    error: str = ""
    cause: EicctlError | None = None
    seconds: float = 0.0
    stdout: Output | None = None
    stderr: Output | None = None

    @property
    def failed(self) -> bool:
        """Whether the command did not run, or did not end with 0."""
        return self.code != 0
