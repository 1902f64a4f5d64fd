"""The manual at a terminal."""

from __future__ import annotations

from pathlib import Path

import pexpect
import pytest

from tests.e2e.conftest import clean_env
from tests.processes import PROGRAM


@pytest.mark.needs("man")
def test_man_shows_a_page_on_a_terminal(tmp_path: Path) -> None:
    env = clean_env(tmp_path) | {"TERM": "dumb", "PAGER": "cat", "MANPAGER": "cat"}
    shown = pexpect.run(f"{PROGRAM} man ssh", env=env, timeout=60)
    assert isinstance(shown, bytes)
    assert b"eicctl-ssh(1)" in shown
    assert b".TH" not in shown
