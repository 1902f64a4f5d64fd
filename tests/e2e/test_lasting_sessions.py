"""Sessions that outlive what they began with: `--keep`, `ssh -f`, ControlPersist."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Eicctl, Env
from tests.processes import PROGRAM
from tests.terminal import exit_code, terminal
from tests.waiting import wait_for

pytestmark = pytest.mark.needs("sshd")

DURATION = ["--max-tunnel-duration", "6"]


@pytest.fixture
def session_name(at_sshd: Eicctl, tmp_path: Path) -> Iterator[str]:
    name = f"t{abs(hash(str(tmp_path))) % 10**9}"
    yield name
    at_sshd("ssh", "node-1", "--", f"tmux kill-session -t {name}")


@pytest.mark.needs("tmux")
def test_a_kept_shell_survives_the_end_of_its_tunnel(sshd_env: Env, session_name: str) -> None:
    shell = terminal(sshd_env, "ssh", "node-1", "--keep", "--session", session_name, *DURATION)
    shell.expect(session_name[:8])  # tmux's status line
    shell.sendline("VARIABLE=kept-by-tmux")
    shell.expect("maximum duration reached; reconnecting to the session on node-1")
    shell.expect(session_name[:8])
    shell.sendline("echo is $VARIABLE")
    shell.expect("is kept-by-tmux")
    shell.sendline("exit")
    assert exit_code(shell) == 0


def test_without_keep_the_end_is_explained(sshd_env: Env) -> None:
    shell = terminal(sshd_env, "ssh", "node-1", *DURATION, "--announce-end", "3")
    shell.expect("this connection ends in 3 s")
    shell.expect("Tunnel closed: maximum duration \\(6 s\\) reached")
    assert "closed by remote host" not in str(shell.before)
    assert "client_loop" not in str(shell.before)
    shell.expect("hint: eicctl ssh --keep node-1")
    assert exit_code(shell) == 255


def test_a_name_of_a_session_needs_keep(at_sshd: Eicctl) -> None:
    assert at_sshd("ssh", "node-1", "--session", "x").returncode == 2
    assert at_sshd("ssh", "node-1", "--keep", "--session", "a:b").returncode == 2


def test_a_session_in_the_background_keeps_its_tunnel(at_sshd: Eicctl, sshd_env: Env) -> None:
    nothing = subprocess.DEVNULL
    words = [PROGRAM, "ssh", "-f", "node-1", "--", "sleep 8; touch done-in-background"]
    started = time.monotonic()
    code = subprocess.run(words, env=sshd_env, stdin=nothing, stdout=nothing, stderr=nothing, check=False).returncode
    assert code == 0
    assert time.monotonic() - started < 8, "it waited for its command"

    def done() -> bool:
        return at_sshd("ssh", "node-1", "--", "rm done-in-background").returncode == 0

    wait_for(done, "the end of the command in the background", every=0.5)


def test_a_shared_connection_outlives_its_first_session(at_sshd: Eicctl, sshd_env: Env, tmp_path: Path) -> None:
    path = tmp_path / "mux"
    shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={path}", "-o", "ControlPersist=30"]
    assert at_sshd("ssh", *shared, "node-1", "--", "true").returncode == 0
    second = subprocess.run(
        ["ssh", "-o", f"ControlPath={path}", "node-1", "echo by the same connection"],
        env=sshd_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert second.stdout == "by the same connection\n", second.stderr
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["ssh", "-O", "exit", "-o", f"ControlPath={path}", "node-1"],
            env=sshd_env, capture_output=True, timeout=60, check=True,
        )  # fmt: skip
