"""The tests for real AWS work: here they run on the local AWS, to the end, interrupted, and killed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Env, clean_env, local_world
from tests.live.recording import LOCAL, Recording, differences, read_facts
from tests.processes import PROGRAM
from tests.terminal import exit_code, terminal

ROOT = Path(__file__).parents[2]

Process = subprocess.Popen[str]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A local AWS of its own: what is left after a run is to be nothing."""
    env = clean_env(tmp_path_factory.mktemp("live"))
    with local_world(env, endpoint=None) as found:
        yield found | {"EICCTL_LIVE": "1", "PYTHONUNBUFFERED": "1"}


def start(env: Env, *words: str) -> Process:
    command = [sys.executable, "-m", "tests.live", *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(env: Env, *words: str) -> tuple[int, str, str]:
    with start(env, *words) as process:
        out, err = process.communicate(timeout=280)
        return process.returncode, out, err


def started(env: Env, *words: str) -> Process:
    """A run that has created everything, and is busy with its first case."""
    process = start(env, "run", "--yes", *words)
    assert process.stdout
    lines = []
    while not (line := process.stdout.readline()).startswith("created in "):
        lines.append(line)
        assert line, "".join(lines)
    return process


@pytest.mark.timeout(300)
def test_the_whole_matrix(aws: Env, tmp_path: Path) -> None:
    code_command = f"EICCTL_HOME={shlex.quote(aws['EICCTL_HOME'])} {PROGRAM} local mfa-code"
    device = ("--mfa-serial", "arn:aws:iam::123456789012:mfa/local", "--mfa-code-command", code_command)
    path = tmp_path / "recording.json"
    code, out, err = run(aws, "run", "--yes", "--with", "windows,rds", *device, "--recording", str(path))
    assert (code, err) == (0, ""), out
    verdicts = re.findall(r"^(\w+) .*: (passed|skipped: .*|FAILED.*) \(\d+ s\)$", out, re.MULTILINE)
    assert {name: verdict for name, verdict in verdicts if verdict != "passed"} == {
        "database": "skipped: the local AWS has no server behind a database that the API has created"
    }
    assert len(verdicts) > 15
    assert "nothing is left" in out
    assert run(aws, "left") == (0, "0 resources are left\n", "")

    assert re.search(r"Fidelity report of the local AWS .*\n\d\d confirmed, 0 DIFFERS", out)
    assert len(re.findall(r"^  (?:documented|inferred|reported|unknown) ", out, re.MULTILINE)) == len(read_facts())
    recording = Recording.load(path)
    if os.environ.get("EICCTL_RECORD"):
        recording.save(LOCAL)
    assert not list(differences(recording, Recording.load(LOCAL))), "EICCTL_RECORD=1 records what the local AWS answers"
    text = path.read_text()
    for secret in (aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"], "123456789012", "127.0.0.1"):
        assert secret not in text


def test_an_interrupted_run_deletes_what_it_has_created(aws: Env) -> None:
    with started(aws, "--only", "durations") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (130, "")
    assert "interrupted\n" in out
    assert "nothing is left" in out
    assert run(aws, "left")[0] == 0


def test_what_a_killed_run_has_left_is_found_and_deleted(aws: Env) -> None:
    with started(aws, "--only", "durations", "--with", "rds") as process:
        process.kill()
    code, out, err = run(aws, "left")
    assert (code, err) == (1, "")
    kinds = {line.split()[0] for line in out.splitlines()[:-1]}
    assert kinds == {"endpoint", "database", "instance", "group", "subnet", "vpc"}
    code, out, err = run(aws, "clean")
    assert (code, err) == (2, "error: no terminal to ask on; pass --yes\n")
    code, out, err = run(aws, "clean", "--yes")
    assert (code, err) == (0, "")
    assert "nothing is left" in out
    assert run(aws, "left")[0] == 0


def test_nothing_is_created_by_accident(aws: Env) -> None:
    code, out, err = run(aws | {"EICCTL_LIVE": ""}, "run", "--yes")
    assert (code, out) == (2, "")
    assert "set EICCTL_LIVE=1" in err
    code, out, err = run(aws, "run", "--with", "windows,rds")
    assert (code, err) == (2, "error: no terminal to ask on; pass --yes\n")
    assert "a t3.medium Windows instance with 30 GB: 0.07 USD an hour" in out
    assert run(aws, "left")[0] == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_it_asks_before_it_creates(aws: Env, columns: int) -> None:
    words = ("-m", "tests.live", "run", "--with", "windows,rds")
    session = terminal(aws, *words, program=sys.executable, size=(24, columns), cwd=ROOT)
    session.expect(r"Create this\? \[y/N\] ")
    assert max(map(len, str(session.before).splitlines())) <= columns
    assert "costs nothing" in str(session.before)
    session.sendline("n")
    assert exit_code(session) == 1
    assert "canceled" in str(session.before)
    assert run(aws, "left")[0] == 0
