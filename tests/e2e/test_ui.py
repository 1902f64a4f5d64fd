"""The console of the installed command, in tmux and on a plain terminal."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Env, run_eicctl
from tests.e2e.test_audit import control
from tests.terminal import Screen

SIZES = [(24, 80), (30, 120), (60, 200)]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[str]:
    """The socket of a tmux, which is ended, whatever becomes of the test."""
    socket = str(tmp_path / "s")
    yield socket
    subprocess.run(["tmux", "-S", socket, "kill-server"], capture_output=True, check=False)


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("size", SIZES[:2], ids=str)
def test_an_hour_in_tmux(env: Env, tmp_path: Path, tmux: str, size: tuple[int, int]) -> None:
    words = ("-S", tmux, "-f", "/dev/null", "new", "bash --norc --noprofile")
    with Screen(env, *words, program="tmux", size=size, cwd=tmp_path) as screen:
        screen.until(r"bash[^$]*[#$] *\n")
        screen.press("stty -a > before; eicctl ui; echo code=$?; stty -a > after\r", "web-1 .*yes")
        screen.press("/", "Filter")
        screen.press("web\r", "> web-1")

        # a shell
        screen.press("\r", r"\$ eicctl ssh [^$#]*i-\w+\n[^$#]*[$#]")
        screen.press("echo on-$((40 + 2))\r", "on-42")
        screen.press("exit\r", "> web-1 ")

        # a command on two
        screen.press("\x1b", "app-1")
        screen.press("  ", r"\* [^\n]*app-1[^$]*web-1|web-1[^$]*app-1")
        screen.press("x", "Run on ")
        screen.press("echo at-$((40 + 3))\r", r"at-43[^$]*at-43[^$]*Press Enter")
        screen.press("\r", "Instances")

        # any command
        screen.press(":", "eicctl …")
        screen.press("instances\r", r"\$ eicctl instances[^$]*win-1[^$]*Press Enter")
        screen.press("\r", "Instances")

        # Ctrl-C ends what has the terminal, and no more
        screen.press(":", "eicctl …")
        screen.press("!sh -c 'echo in-$((40 + 4)); exec sleep 1000'\r", "in-44")
        screen.press("\x03", "exit code -2")
        screen.press("\r", "Instances")

        screen.press("q", "code=0")
        assert "Instances" not in "\n".join(screen.lines)  # the other screen is left
        screen.press("clear; diff before after && echo same; exit\r", "same|exited")
    assert '"web-1"' in run_eicctl(env, "recent", "--output", "json").stdout.decode()


@pytest.mark.parametrize(
    ("keys", "pattern"),
    [
        ("/web\r\r", r"\$ eicctl ssh [^$#]*i-\w+\n[^$#]*[$#]"),
        (":instances\r", r"\$ eicctl instances[^$]*win-1[^$]*Press Enter"),
        ("/app\r xecho at-$((40 + 3))\r", r"at-43[^$]*Press Enter"),
        ("2/office\r", r"> office"),
        ("?q/win\r", "> win-1"),
    ],
    ids=repr,
)
def test_keys_that_come_at_once(env: Env, keys: str, pattern: str) -> None:
    """As a slow line brings them: each is for what the one before has opened."""
    with Screen(env, "ui", size=(30, 120)) as screen:
        screen.until("web-1 .*yes")
        screen.press(keys, pattern)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_and_their_change(env: Env, size: tuple[int, int]) -> None:
    with Screen(env | {"NO_COLOR": "1"}, "ui", size=size) as screen:
        lines = screen.until("web-1 .*yes")
        assert "Sessions" in lines[0]
        assert "q Quit" in lines[-1]
        assert all(len({*color}) == 1 for color in re.findall(r"8;2;(\d+);(\d+);(\d+)", screen.written)), "a color"
        for other in SIZES:
            screen.resize(*other)
            screen.until(rf"(?:[^\n]*\n){{{other[0] - 1}}}[^\n]*q Quit")
        screen.child.send("q")
        assert screen.end() == 0


def test_leaving_does_not_wait_for_the_network(env: Env, local_aws: Env) -> None:
    control(local_aws, "settings", {"latency": 30.0})
    try:
        with Screen(env, "ui") as screen:
            screen.until("Reading instances [1-9] s")
            started = time.monotonic()
            screen.child.send("q")
            assert screen.end() == 0
            assert time.monotonic() - started < 15
    finally:
        control(local_aws, "settings", {"latency": 0.0})


def test_without_a_terminal(env: Env) -> None:
    ended = run_eicctl(env, "ui")
    assert ended.returncode == 2
    assert b"error: The console needs a terminal" in ended.stderr
    assert b"hint: eicctl instances" in ended.stderr


def test_without_textual(env: Env, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'textual' else find(name, *rest)\n"
    )
    with Screen(env | {"PYTHONPATH": str(tmp_path)}, "ui") as screen:
        screen.until(r"error: The console needs Textual[^$]*hint: pipx install 'eicctl\[ui\]'")
        assert screen.end() == 1
