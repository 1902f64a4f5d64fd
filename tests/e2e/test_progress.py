"""What waits for more than a second says so, on a terminal of 80 and of 120 columns, with API calls of 1.2 s each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from eicctl.emulator.server import Emulator
from tests.conftest import FillCache
from tests.e2e.conftest import Eicctl, Env, clean_env, run_eicctl
from tests.e2e.warmth import wait_for_agent
from tests.processes import PROGRAM
from tests.terminal import exit_code, screen, terminal

LATENCY = 1.2

CLEARED = re.compile(r"(?:\r\x1b\[K|\x1b\[2K\r)")


@pytest.fixture(params=[80, 120])
def width(request: pytest.FixtureRequest) -> int:
    """The terminal's, in columns."""
    return int(request.param)


@pytest.fixture
def slow(emulator: Emulator) -> Iterator[Emulator]:
    """An AWS with an endpoint, whose API is slow from now on."""
    made = run_eicctl(dict(os.environ), "create-endpoint", "--name", "office", "--create-security-group", "--wait")
    assert made.returncode == 0, made.stderr.decode()
    emulator.state.behave(latency=LATENCY)
    yield emulator
    emulator.state.behave(latency=0.0)


def drawn(written: str) -> list[str]:
    """The texts that the line has had; each is as long as it was drawn."""
    parts = CLEARED.split(written)[1:]
    return [part for part in parts if re.match(r"[^\r\n]+ \(\d+ s\)", part)]


def look(written: str, width: int, what: str) -> None:
    """Check that a line said what is waited for, that it fits, and that it is gone at the end."""
    found = drawn(written)
    assert any(re.match(what, text) for text in found), written
    assert all(len(text) < width for text in found)
    assert not [line for line in screen(written) if re.search(r"\(\d+ s\)", line)], screen(written)


@pytest.mark.parametrize(
    ("width", "words", "what"),
    [
        (80, "list-endpoints --all-regions", r"Looking up endpoints in \d+ regions \(\d+ s\)"),
        (120, "instances", r"Looking up (instances|endpoints|VPCs) in us-east-1 \(1 s\)"),
        (80, "ssh web-1 --no-agent -- true", r"Connecting to web-1 \(\d s\)"),
        (120, "scp --no-agent /etc/hostname web-1:copied", r"Looking up (instances|endpoints) in us-east-1 \(\d s\)"),
        (80, "doctor web-1 --output json", r"Checking: \d+ of \d+ checks \(\d+ s\)"),
        (120, "coverage", r"Reading the network(: regions read: .*)? \(\d+ s\)"),
        (80, "audit --since 1h", r"Reading CloudTrail(: .*)? \(\d+ s\)"),
        (120, "run --target web-1 --target app-1 -- true", r"Running the command: \d of 2 hosts done \(\d+ s\)"),
        (80, "mfa login --token-code 123456", r"[A-Z][^(]* \(\d+ s\)"),
        (120, "delete-endpoint office --yes", r"Deleting eice-[0-9a-f]+(: [a-z-]+)? \(\d+ s\)"),
    ],
)
def test_a_wait_is_shown_and_goes(slow: Emulator, width: int, words: str, what: str) -> None:
    session = terminal(dict(os.environ), *words.split(), size=(40, width))
    ended = exit_code(session)
    look(str(session.before), width, what)
    assert ended == 0 or "mfa" in words, session.before


@pytest.mark.parametrize(
    ("width", "words", "what"),
    [
        (80, "tunnel web-1 --remote-port 22", r"Looking up (instances|endpoints|VPCs) in us-east-1 \(1 s\)"),
        (120, "rdp win-1 --no-launch", r"Looking up (instances|endpoints|VPCs) in us-east-1 \(1 s\)"),
        (80, "forward web-1:22", r"Pushing the key in us-east-1 \(\d s\)|Connecting to web-1 \(\d s\)"),
        (120, "db demo-db", r"Looking up databases in us-east-1 \(1 s\)"),
    ],
)
def test_the_line_is_gone_when_clients_can_connect(slow: Emulator, width: int, words: str, what: str) -> None:
    session = terminal(dict(os.environ), *words.split(), size=(40, width))
    session.expect(r"Listening on [^\n]*\n")
    look(f"{session.before}{session.after}", width, what)
    session.sendintr()
    assert exit_code(session) == 130
    assert not drawn(str(session.before))


def test_quiet_shows_nothing(slow: Emulator) -> None:
    session = terminal(dict(os.environ), "ssh", "-q", "--no-agent", "web-1", "--", "echo", "done")
    assert exit_code(session) == 0
    assert str(session.before).strip() == "done"


def test_what_is_fast_shows_nothing(env: Env) -> None:
    for _ in range(2):
        session = terminal(env, "ssh", "web-1", "--", "echo", "done")
        assert exit_code(session) == 0
        assert str(session.before) == "done\r\n"


def test_without_a_terminal_only_long_waits_are_worth_a_line(slow: Emulator) -> None:
    done = run_eicctl(dict(os.environ), "list-endpoints", "--all-regions")
    assert done.returncode == 0
    assert done.stderr == b""


def test_a_long_wait_without_a_terminal_is_a_plain_line(slow: Emulator) -> None:
    slow.state.behave(latency=10.5)
    commands = {
        ("show-endpoint", "office"): r"Looking up endpoints in us-east-1 \(1\d s\)\n",
        ("proxy", "web-1"): r"Connecting to web-1 \(1\d s\)\n",
        ("ssh", "-q", "web-1", "--", "true"): "",
    }
    started = [
        subprocess.Popen([PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for words in commands
    ]
    for process, what in zip(started, commands.values(), strict=True):
        if "-q" in process.args:  # type: ignore[operator]
            slow.state.behave(latency=0.0)
        _, stderr = process.communicate()
        assert (process.returncode, re.sub(what, "", stderr.decode(), count=1)) == (0, ""), stderr
        assert bool(what) == bool(stderr)


def test_a_wait_for_a_slot_is_shown(emulator: Emulator, width: int) -> None:
    made = run_eicctl(dict(os.environ), "create-endpoint", "--wait")
    assert made.returncode == 0, made.stderr.decode()
    emulator.state.behave(max_connections=1)
    env = dict(os.environ)
    with subprocess.Popen(
        [PROGRAM, "proxy", "web-1"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holding:
        assert holding.stdout
        assert holding.stdin
        assert holding.stdout.read(4) == b"SSH-"
        session = terminal(env, "tunnel", "web-1", "--remote-port", "22", size=(40, width))
        session.expect(r"waiting up to 30 s: [^\r]*")
        second = subprocess.Popen(
            [PROGRAM, "proxy", "web-1"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert second.stderr
        assert second.stderr.readline().startswith(b"waiting up to 30 s: ")  # a plain line: the terminal is OpenSSH's
        second.kill()
        second.communicate()
        holding.stdin.close()
        session.expect(r"Listening on [^\n]*\n")
        assert not [line for line in screen(f"{session.before}{session.after}") if "waiting up to" in line]
        session.sendintr()
        assert exit_code(session) == 130


@pytest.fixture
def warm(slow: Emulator, fill_cache: FillCache) -> Iterator[Env]:
    """A background process, before an API that is slow, and for a target that it does not know yet."""
    home = Path(tempfile.mkdtemp(prefix="w-"))  # a short path: those of sockets end at 107 bytes
    env = {name: value for name, value in os.environ.items() if name != "CI"}
    env |= {"EICCTL_HOME": str(home), "EICCTL_AGENT": "on"}
    fill_cache(home)
    slow.state.behave(latency=0.0)
    assert run_eicctl(env, "ssh", "web-1", "--", "sleep 0.5").returncode == 0
    wait_for_agent(env)
    yield env
    run_eicctl(env, "down", "--all")
    shutil.rmtree(home, ignore_errors=True)


def test_a_wait_for_the_background_process_is_shown(slow: Emulator, warm: Env, width: int) -> None:
    slow.state.behave(latency=LATENCY)
    session = terminal(warm, "ssh", "app-1", "--", "echo", "done", size=(40, width))
    assert exit_code(session) == 0, session.before
    assert [line for line in screen(str(session.before)) if line] == ["done"]
    look(str(session.before), width, r"Connecting to app-1 \(\d s\)")
    slow.state.behave(latency=0.0)
    again = terminal(warm, "ssh", "app-1", "--", "echo", "done", size=(40, width))
    assert exit_code(again) == 0
    assert str(again.before) == "done\r\n"  # what is warm shows nothing, and draws nothing


def test_completion_shows_nothing(slow: Emulator) -> None:
    session = pexpect.spawn(
        PROGRAM,
        env={**os.environ, "_EICCTL_COMPLETE": "bash_complete", "COMP_LINE": "eicctl ssh we", "COMP_WORD": "we"},
        encoding="utf-8",
        dimensions=(40, 80),
    )
    session.expect(pexpect.EOF)
    assert not drawn(str(session.before))


def test_the_start_of_the_local_aws_is_shown(tmp_path: Path, width: int) -> None:
    """On a machine on which the emulator's own process takes two seconds more."""
    slow = "import sys, time\nif '--detach' not in sys.orig_argv: time.sleep(2)\n"
    (tmp_path / "sitecustomize.py").write_text(slow)
    env = clean_env(tmp_path)
    session = terminal({**env, "PYTHONPATH": str(tmp_path)}, "local", "up", "--detach", size=(40, width))
    assert exit_code(session) == 0, session.before
    look(str(session.before), width, r"Starting the local AWS \(\d+ s\)")
    assert exit_code(terminal(env, "local", "down")) == 0


def test_errors_stand_alone(slow: Emulator, eicctl: Eicctl, width: int) -> None:
    session = terminal(dict(os.environ), "ssh", "no-such-host", size=(40, width))
    assert exit_code(session) == 3
    lines = [line for line in screen(str(session.before)) if line.strip()]
    assert lines[0].startswith('error: No instance named "no-such-host"'), lines
