"""`eicctl demo`, as a newcomer runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pexpect

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
