"""The installed command in a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).with_name("eicctl"))

Before = Callable[[], object]
"""Is called in the child before the command is there."""


@contextlib.contextmanager
def running(*words: str, before: Before | None = None, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command as long as the block lasts; it is killed if it does not end then."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([PROGRAM, *words], preexec_fn=before, **(streams | more))  # noqa: PLW1509
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
            with contextlib.suppress(OSError):
                stream.close()


def run(*words: str, before: Before | None = None, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    with running(*words, before=before, **more) as process:
        out, err = process.communicate(timeout=200)
        return subprocess.CompletedProcess(words, process.returncode, out or b"", err or b"")


def no_room() -> None:
    """No file can grow, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def few_descriptors(count: int) -> Before:
    """So many files may be open, and no more."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def bound_by_permissions() -> None:
    """Root is bound by the permissions of files, as everybody else is: it loses CAP_DAC_OVERRIDE (capabilities(7))."""
    if os.geteuid() == 0:
        drop, override, read_search = 24, 1, 2
        for capability in (override, read_search):
            assert ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0) == 0


def read_only(folder: Path) -> Path:
    """Make a folder in which nothing can be made by who is `bound_by_permissions`."""
    folder.mkdir()
    folder.chmod(0o500)
    return folder
