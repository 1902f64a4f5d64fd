"""`credential_process`: how often it is run, what it may read and say, and what its failures do."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eicctl.aws import credentials
from eicctl.aws.credentials import fetch
from eicctl.aws.session import Session
from eicctl.core.errors import CredentialsError
from eicctl.emulator.server import Emulator
from tests.integration.conftest import Ran, Service
from tests.integration.test_aws_configuration import keys_in_files
from tests.processes import PROGRAM, run, running
from tests.terminal import exit_code, terminal

Eicctl = Callable[..., Ran]


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_programs", {})


Program = Callable[..., Path]


@pytest.fixture
def program(emulator: Emulator, home: Path) -> Iterator[Program]:
    """Put a shell script into the profile; what it has been run for is in the file that is returned, a line each."""
    answer = (
        f'echo \'{{"Version": 1, "AccessKeyId": "{emulator.env["AWS_ACCESS_KEY_ID"]}", '
        f'"SecretAccessKey": "{emulator.env["AWS_SECRET_ACCESS_KEY"]}"}}\''
    )
    runs = home / "runs"
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

    def put(before: str = "", answer: str = answer, runner: str = "sh") -> Path:
        script = home / "with a blank.sh"
        script.write_text(f"echo run >> {shlex.quote(str(runs))}\n{before}\n{answer}\n")
        keys_in_files(emulator, home, f'[default]\nregion = us-east-1\ncredential_process = {runner} "{script}"\n')
        (home / "credentials").write_text("")
        return runs

    yield put
    os.environ.update(before)


def count(runs: Path) -> int:
    return len(runs.read_text().splitlines()) if runs.exists() else 0


def test_piped_data_is_the_tunnel_s(serve: Callable[..., Service], program: Program) -> None:
    def handle(client: socket.socket) -> None:
        left = 200_000
        while left and (data := client.recv(65536)):
            left -= len(data)
        client.sendall(b"all is here" if not left else b"some is lost")

    serve(handle)
    program(before="cat > /dev/null")
    with running("proxy", "10.0.1.99", stdin=subprocess.PIPE) as process:
        out, err = process.communicate(b"x" * 200_000, timeout=60)
    assert (process.returncode, out) == (0, b"all is here"), err


@pytest.mark.parametrize("words", [["list-endpoints"], ["doctor", "web-1", "--output=json"], ["instances"]])
def test_it_runs_once_a_command(endpoint: dict[str, Any], program: Program, words: list[str]) -> None:
    runs = program()
    run(*words)
    assert count(runs) == 1


@pytest.mark.needs("ssh")
@pytest.mark.parametrize(
    "words",
    [["ssh", "web-1", "--", "true"], ["scp", "FILE", "web-1:/tmp/x"], ["run", "--target", "web-1", "--", "true"]],
)
def test_it_runs_once_where_openssh_has_a_proxy(
    endpoint: dict[str, Any], program: Program, home: Path, words: list[str]
) -> None:
    (home / "file").write_text("x")
    runs = program()
    ran = run(*[str(home / "file") if word == "FILE" else word for word in words])
    assert ran.returncode == 0, ran.stderr
    assert count(runs) == 1


@pytest.mark.parametrize("asks", ["printf 'Code: ' >&2; read code", "printf 'Code: ' > /dev/tty; read code < /dev/tty"])
def test_a_question_is_seen_and_answered_on_the_terminal(
    endpoint: dict[str, Any], program: Program, asks: str, home: Path
) -> None:
    program(before=f'{asks}; test "$code" = 4711 || exit 1')
    # Neither stdin nor stderr is the terminal.
    line = f"{shlex.quote(PROGRAM)} list-endpoints --output json < /dev/null > out 2> err"
    child = terminal(os.environ, "-c", line, program="/bin/sh", cwd=home)
    child.expect_exact("Code: ")
    child.sendline("4711")
    assert exit_code(child) == 0, (home / "err").read_text()
    assert "eice-" in (home / "out").read_text()


def test_what_takes_long_without_a_terminal_is_reported(
    program: Program, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program(before="sleep 1")
    monkeypatch.setattr(credentials, "QUIET", 0.05)
    monkeypatch.setattr(credentials, "PATIENCE", 0.1)
    assert Session().credentials().access_key_id
    assert "waiting for credential_process of profile 'default'" in capfd.readouterr().err


def test_in_the_background_it_is_ended(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program(before="exec sleep 100")
    monkeypatch.setattr(credentials, "_background", True)
    monkeypatch.setattr(credentials, "QUIET", 0.05)
    monkeypatch.setattr(credentials, "PATIENCE", 0.1)
    with pytest.raises(CredentialsError, match="did not answer") as told:
        Session().credentials()
    assert told.value.needs_terminal


def test_a_failure_is_not_repeated_and_a_refusal_is_final_in_the_background(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = program(before="echo 'No session.' >&2; echo 'Log in first.' >&2; echo >&2; exit 3")
    for background in (False, True):
        monkeypatch.setattr(credentials, "_background", background)
        credentials.ask_again()
        before = count(runs)
        for _ in range(20):
            with pytest.raises(CredentialsError) as told:
                Session().credentials()
            assert told.value.message == "credential_process of profile 'default' failed: Log in first."
        assert count(runs) == before + 1
        memory = next(iter(credentials._programs.values()))
        assert (memory.again == float("inf")) == background
    credentials.ask_again(older_than=60)
    with pytest.raises(CredentialsError):
        Session().credentials()
    assert count(runs) == 2
    credentials.ask_again()
    program()
    assert Session().credentials().access_key_id


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ran = []
    for second in range(1200):
        now = float(second)
        before = next((program.failed for program in credentials._programs.values()), -1)
        with pytest.raises(CredentialsError, match="not a JSON object"):
            fetch("echo", profile="p")
        if next(iter(credentials._programs.values())).failed > before:
            ran.append(second)
    assert ran == [0, 15, 45, 105, 225, 465, 765, 1065]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo no", "is not a JSON object"),
        ("printf '\\377'", "is not a JSON object"),
        ("echo '[1]'", "is not a JSON object"),
        ("echo '{\"Version\": 2}'", "does not have Version 1"),
        ('echo \'{"Version": 1, "AccessKeyId": 5}\'', "no usable AccessKeyId"),
        ('echo \'{"Version": 1, "AccessKeyId": "A"}\'', "no usable SecretAccessKey"),
        ("exit 7", "failed: exit code 7"),
        ("kill -9 $$", "failed: exit code -9"),
    ],
)
def test_a_bad_answer_is_an_error_and_no_traceback(
    emulator: Emulator, program: Program, answer: str, said: str
) -> None:
    program(answer=answer)
    ran = run("list-endpoints")
    assert ran.returncode == 4, ran.stderr
    assert said in ran.stderr.decode()
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("runner", ["/nowhere/at-all", "sh '", "/"])
def test_a_program_that_cannot_be_run(emulator: Emulator, program: Program, runner: str) -> None:
    program(runner=runner)
    ran = run("list-endpoints")
    assert ran.returncode == 4, ran.stderr
    assert b"error: credential_process of profile 'default'" in ran.stderr


def test_doctor_shows_one_line_of_a_failure(emulator: Emulator, program: Program) -> None:
    program(before="printf 'first\\nlast\\n\\n' >&2; exit 1")
    ran = run("doctor", "web-1")
    assert "failed: last" in ran.stdout.decode() + ran.stderr.decode()
    assert "last\n\n" not in ran.stdout.decode()
