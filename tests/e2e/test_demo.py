"""`eicctl demo`, as a newcomer runs it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.conftest import clean_env, run_eicctl


def test_the_demo_verifies_every_step_and_leaves_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = run_eicctl(clean_env(tmp_path) | {"TMPDIR": str(temporary)}, "demo", timeout=200)
    out = done.stdout.decode()
    assert done.returncode == 0, out + done.stderr.decode()
    assert "All 9 steps were verified" in out
    assert out.count("✓") == 9
    assert os.listdir(temporary) == []  # noqa: PTH208
