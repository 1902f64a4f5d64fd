"""`eicctl up` on a terminal: a table that is drawn again and again."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pexpect

from tests.e2e.conftest import PROGRAM, Env

PROJECT = """
[tunnel.web]
target = "web-1"
remote_port = 22
local_port = 0

[tunnel.nowhere]
target = "no-such-machine"
remote_port = 22
"""


def test_a_table_shows_states_and_why_one_is_not_open(env: Env, tmp_path: Path) -> None:
    (tmp_path / "eicctl.toml").write_text(PROJECT)
    terminal = pexpect.spawn(
        PROGRAM,
        ["up"],
        env=env | {"TERM": "xterm"},
        cwd=str(tmp_path),
        encoding="utf-8",
        dimensions=(24, 100),
        timeout=60,
    )
    terminal.expect("Name")
    terminal.expect("State")
    terminal.expect(r"retrying")
    terminal.expect('No instance named "no-such-machine" in us-east-1')
    terminal.expect(re.compile(r"web.*open.*127\.0\.0\.1:\d+"))
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 128 + signal.SIGINT
