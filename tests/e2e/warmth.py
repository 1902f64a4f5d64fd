"""Environments with a background process, for the tests of what it carries."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.conftest import Env
from tests.waiting import wait_for


def listening(env: Env) -> list[Path]:
    """The sockets of background processes."""
    return sorted((Path(env["EICCTL_HOME"]) / "run").glob("agent-*.sock"))


def agent_pid(env: Env) -> int:
    """The one background process."""
    (record,) = (Path(env["EICCTL_HOME"]) / "run").glob("agent-*.json")
    return int(json.loads(record.read_text())["Pid"])


def wait_for_agent(env: Env) -> None:
    """Wait until a background process listens."""
    wait_for(lambda: listening(env), "the start of a background process")


def lent(pid: int) -> bool:
    """Whether another process carries what a process is there for: TLS is not even loaded in this one."""
    return "_ssl" not in Path(f"/proc/{pid}/maps").read_text()


def proxy_below(pid: int) -> int:
    """The `eicctl proxy` that OpenSSH has started below a process."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    below = [pid]
    for parent in below:
        below += [int(own) for own, of, _ in rows if int(of) == parent]
    words = {int(own): args.split() for own, _, args in rows}
    return next(found for found in below[1:] if "proxy" in words[found] and "python" in words[found][0])
