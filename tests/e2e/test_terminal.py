"""What a person sees and answers on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import Env
from tests.processes import PROGRAM
from tests.terminal import exit_code, faults, interrupt, screen, terminal


def test_without_a_target_one_chooses(env: Env) -> None:
    session = terminal(env, "tunnel", "--remote-port", "22")
    session.expect("win-1")
    session.send("web\r")
    session.expect(r"checked: web-1 answers \(SSH-2\.0")
    session.expect(r"Listening on 127\.0\.0\.1:\d+ and ")
    session.sendintr()
    assert exit_code(session) == 130


@pytest.mark.parametrize(
    ("words", "events"),
    [
        ("tunnel web-1 --remote-port 22", ["listening"]),
        ("tunnel web-1 --remote-port 22 --check", ["checked", "listening"]),
        ("forward 0:web-1:22", ["listening"]),
        ("up", ["state", "state"]),
    ],
)
def test_the_events_are_the_same_on_a_terminal_and_in_a_pipe(
    env: Env, tmp_path: Path, words: str, events: list[str]
) -> None:
    (tmp_path / "eicctl.toml").write_text('[tunnel.web]\ntarget = "web-1"\nremote_port = 22\nlocal_port = 0\n')
    line = [*words.split(), "--output", "json"]
    for number in range(2):
        own = env | {"HOME": str(tmp_path / f"{number}"), "EICCTL_HOME": str(tmp_path / f"{number}" / "eicctl")}
        # Stderr is the terminal in both cases: what it is must not change what a program reads.
        script = 'exec "$@" | cat' if number else 'exec "$@"'
        session = terminal(own, "-c", script, "sh", PROGRAM, *line, program="sh", size=(30, 1000), cwd=tmp_path)
        found: list[str] = []
        while len(found) < len(events) and (text := session.readline()):
            if text.startswith("{"):
                found.append(json.loads(text)["Event"])
        assert found == events
        session.sendintr()
        assert exit_code(session) == 130 or number


@pytest.mark.parametrize("words", [["run"], ["proxy"], ["scp", "x"], ["ssh-config"]], ids=str)
def test_without_arguments_there_is_a_usage_error(env: Env, words: list[str]) -> None:
    session = terminal(env, *words)
    assert exit_code(session) == 2


def test_a_tunnels_port_is_that_of_the_platform(env: Env) -> None:
    for target, answer in (("web-1", r"checked: web-1 answers \(SSH-2\.0"), ("win-1", r"Listening on .* port 3389")):
        session = terminal(env, "tunnel", target, size=(40, 200))
        session.expect(answer)
        session.sendintr()
        assert exit_code(session) == 130


def test_proxy_is_for_programs(env: Env) -> None:
    session = terminal(env, "proxy", "web-1")
    session.expect(r"stdin and stdout\s+are\s+a\s+terminal")
    session.expect("hint: eicctl ssh web-1")
    assert exit_code(session) == 2
    session = terminal(env, "proxy", "web-1", "--force")
    session.expect("SSH-2.0-")
    session.sendeof()
    assert exit_code(session) == 0


def test_a_target_is_chosen_before_a_client_is_missed(env: Env) -> None:
    session = terminal(env, "rdp", "--client", "no-such-client")
    session.expect("win-1")
    session.send("\r")
    session.expect("error: ")
    assert exit_code(session) == 2


def test_deleting_asks_and_takes_no_for_an_answer(env: Env) -> None:
    session = terminal(env, "delete-endpoint", "office")
    session.expect(r"Delete endpoint office \(eice-[0-9a-f]+\) in VPC vpc-[0-9a-f]+\? \[y/N\]")
    session.sendline("n")
    session.expect("Canceled")
    assert exit_code(session) == 1


def test_ctrl_c_at_a_question(env: Env) -> None:
    session = terminal(env, "delete-endpoint", "office")
    session.expect(r"\[y/N\]")
    interrupt(session)
    session.expect("interrupted")
    assert exit_code(session) == 130


def test_no_color_is_honoured(env: Env) -> None:
    for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        session = terminal(env | variables, "instances")
        assert exit_code(session) == 0
        assert session.before
        assert ("\x1b[32mrunning" in session.before) is coloured


def test_a_table_breaks_no_id(env: Env) -> None:
    for width, omitted in ((80, "Columns omitted: Type, AZ (--wide shows all)"), (120, "")):
        session = terminal(env | {"NO_COLOR": "1"}, "instances", size=(30, width))
        assert exit_code(session) == 0
        lines = screen(str(session.before))
        assert not faults(lines, width)
        assert len([line for line in lines if re.search(r" i-[0-9a-f]{17} +running .* demo +office$", line)]) == 3
        assert ([line for line in lines if "omitted" in line] or [""]) == [omitted]


def test_all_columns_and_no_heading(env: Env) -> None:
    session = terminal(env | {"NO_COLOR": "1"}, "list-endpoints", "--wide", "--no-header", size=(30, 80))
    assert exit_code(session) == 0
    (line, *rest) = [line for line in screen(str(session.before)) if line]
    assert re.fullmatch(r"eice-[0-9a-f]{17}  office  create-complete  vpc-\w+  subnet-\w+  us-\w+-\w+  ipv4  no", line)
    assert not rest


def test_a_single_object_breaks_no_id_and_has_no_empty_rows(env: Env) -> None:
    for width in (80, 120):
        session = terminal(env, "show-endpoint", "office", size=(40, width))
        assert exit_code(session) == 0
        assert "\x1b[32mcreate-complete" in str(session.before)
        lines = screen(str(session.before))
        assert not faults(lines, width)
        assert "StateMessage" not in "\n".join(lines)
        assert [line for line in lines if not line.strip()] == [""]
