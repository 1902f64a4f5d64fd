"""`eicctl up` on a terminal: a table that is drawn again and again."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.e2e.conftest import Env
from tests.terminal import exit_code, terminal

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
    session = terminal(env, "up", cwd=tmp_path, size=(24, 100))
    session.expect("Name")
    session.expect("State")
    session.expect(r"retrying")
    session.expect('No instance named "no-such-machine" in us-east-1')
    session.expect(re.compile(r"web.*open.*127\.0\.0\.1:\d+"))
    session.sendintr()
    assert exit_code(session) == 128 + signal.SIGINT
