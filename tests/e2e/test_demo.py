"""`eicctl demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import PROGRAM, clean_env, run_eicctl


def test_the_demo_verifies_every_step_and_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = run_eicctl(clean_env(tmp_path) | {"TMPDIR": str(temporary)}, "demo", timeout=90)
    out = done.stdout.decode()
    assert done.returncode == 0, out + done.stderr.decode()
    assert "All 9 steps were verified" in out
    assert out.count("✓") == 9
    assert os.listdir(temporary) == []  # noqa: PTH208


def test_the_demo_on_a_terminal(tmp_path: Path) -> None:
    session = pexpect.spawn(
        PROGRAM, ["demo"], env=clean_env(tmp_path), encoding="utf-8", timeout=90, dimensions=(30, 80)
    )
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 0, session.before
    assert session.before
    assert session.before.count("✓") == 9


@pytest.mark.needs("ip", "unshare")
def test_the_demo_on_a_machine_without_ipv4(tmp_path: Path) -> None:
    """A network namespace whose loopback is ::1 alone: the local AWS, tunnels, OpenSSH."""
    namespace = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not permitted here")
    script = f"ip link set lo up && ip address del 127.0.0.1/8 dev lo && exec {PROGRAM} demo"
    done = subprocess.run(
        [*namespace, script], env=clean_env(tmp_path), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 9
    assert "listening on [::1]:" in done.stdout
