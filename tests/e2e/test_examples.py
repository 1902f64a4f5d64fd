"""The examples of `--help` that run OpenSSH and end by themselves, with the installed command."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Env
from tests.examples import LINES

RUN = [line for line in LINES if re.match(r"eicctl (ssh|run) .* -- ", line)]


@pytest.mark.parametrize("line", RUN)
def test_an_example_runs(line: str, local_aws: Env, tmp_path: Path) -> None:
    ran = subprocess.run(
        ["bash", "-c", line], env=local_aws, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


def test_there_are_some() -> None:
    assert len(RUN) >= 3
