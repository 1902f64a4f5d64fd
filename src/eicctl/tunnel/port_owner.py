"""Which process listens on a local TCP port."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

_LISTEN = "0A"


def occupant(port: int) -> str | None:
    """Return `NAME (PID n)` of the process that listens on `port`, or None where that cannot be known.

    Linux tells it in /proc, for processes of the same user (proc(5)); elsewhere `lsof` does, if it is installed.
    """
    inodes = _listening(port)
    if inodes is None:
        return _by_lsof(port)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        name = (process / "comm").read_text().strip()
                        return f"{name} (PID {process.name})"
    return None


def _listening(port: int) -> set[str] | None:
    """Return `socket:[inode]` of the sockets that listen on `port`, or None without a /proc/net."""
    found: set[str] = set()
    try:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            if not Path(table).exists():
                continue
            for row in Path(table).read_text().splitlines()[1:]:
                columns = row.split()
                if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{columns[9]}]")
    except OSError:
        return None
    return found if Path("/proc/net/tcp").exists() else None


def _by_lsof(port: int) -> str | None:
    if not shutil.which("lsof"):
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        ).stdout
        fields = {line[0]: line[1:] for line in answer.splitlines() if line}
        if "p" in fields:
            return f"{fields.get('c', 'a process')} (PID {fields['p']})"
    return None
