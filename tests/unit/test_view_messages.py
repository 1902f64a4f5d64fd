"""What people and programs read: tables, JSON, text, and errors."""

from __future__ import annotations

import io
import json

import pytest

from eicctl import cli
from eicctl.core.errors import EicctlError, UsageError
from eicctl.view import messages, render

ROWS = [
    {"Name": "web-1", "Id": "i-0123456789abcdef0", "Ok": True, "Tags": [{"Key": "a", "Value": "b"}]},
    {"Name": "x\x1b[31m", "Id": "i-" + "f" * 80, "Ok": False, "Tags": []},
]
COLUMNS = {"Name": "Name", "ID": "Id", "OK": "Ok", "Tags": "Tags"}


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line of this process: an earlier test has left its own."""
    monkeypatch.setattr(messages, "arguments", [])


def shown(capsys: pytest.CaptureFixture[str], output: str, query: str | None = None) -> str:
    render.show(ROWS, output=output, query=query, columns=COLUMNS)
    return capsys.readouterr().out


def test_a_table_breaks_no_id(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = shown(capsys, "table")
    assert "i-" + "f" * 80 in table
    assert table.splitlines()[0].split() == ["Name", "ID", "OK", "Tags"]
    assert "a=b" in table
    assert "\x1b" not in table


def test_json_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capsys, "json")) == ROWS


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("[].Name", "web-1\tx\\x1b[31m\n"),
        ("[0].Id", "i-0123456789abcdef0\n"),
        ("[].[Name, Ok]", "web-1\tyes\nx\\x1b[31m\tno\n"),
        ("[?Name=='none']", ""),
    ],
)
def test_text(capsys: pytest.CaptureFixture[str], query: str, text: str) -> None:
    assert shown(capsys, "text", query) == text


def test_a_bad_query_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--query"):
        shown(capsys, "json", "[?")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain ünïcode", "plain ünïcode"),
        ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b"),
        ("a\u202eb", "a\\u202eb"),
        ("a\rb", "a\\rb"),
        ("one\ntwo", "one\ntwo"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_others_wrote_cannot_steer_the_terminal(text: str, safe: str) -> None:
    assert messages.printable(text) == safe


def test_an_error_has_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    error = EicctlError("it failed", hint="do this", exit_code=5, request_id="r-1")
    assert messages.failure(error) == 5
    assert capsys.readouterr().err == "error: it failed\nrequest ID: r-1\nhint: do this\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["list-endpoint"], 2, "Did you mean 'list-endpoints'"),
        (["nonsense"], 2, "No such command"),
        (["tunnel", "web-1", "--remote-port", "x"], 2, "--remote-port"),
        (["ssh"], 2, "hint: eicctl instances"),
        (["scp"], 2, "targets: eicctl instances"),
        (["sftp"], 2, "hint: eicctl instances"),
        (["ssh", "-v"], 2, "No target specified"),
        (["sftp", "-q"], 2, "No target specified"),
        (["scp", "-r"], 2, "Missing source or destination"),
        (["ssh-config"], 2, "No target specified"),
        (["run"], 2, "No command specified"),
        (["run", "--", "true"], 2, "targets: eicctl instances"),
        (["proxy"], 2, "No target specified"),
        (["rdp", "--client", "none"], 2, "No target specified"),
        (["tunnel", "--remote-port", "22", "--local-port", "1"], 2, "No target specified"),
        (["tunnel"], 2, "No target specified"),
        (["forward"], 2, "targets: eicctl instances"),
        (["db"], 2, "hint: aws rds describe-db-instances"),
        (["logs"], 2, "Missing argument"),
        (["show-endpoint"], 2, "hint: eicctl list-endpoints"),
        (["modify-endpoint", "--preserve-client-ip"], 2, "hint: eicctl list-endpoints"),
        (["delete-endpoint"], 2, "hint: eicctl list-endpoints"),
        (["instances", "--pick-profile"], 2, "hint: aws configure list-profiles"),
        (["instances", "--pick-profile", "--profile", "x"], 2, "mutually exclusive"),
        (["policy", "lint"], 2, "Missing argument"),
        (["policy", "check"], 2, "No target specified"),
        (["completion"], 2, "Missing argument"),
        (["ssh", "-Z", "web-1"], 2, "-Z is not an option of ssh"),
        (["--help"], 0, ""),
        (["ssh", "-h"], 0, ""),
    ],
)
def test_words_of_a_call(capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str) -> None:
    assert cli.main(words) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "kind", "said", "hint"),
    [
        (["nonsense", "--output", "json"], 2, "UsageError", "No such command", "eicctl --help"),
        (
            ["list-endpoints", "--output=json", "--no"],
            2,
            "UsageError",
            "No such option",
            "eicctl list-endpoints --help",
        ),
        (["show-endpoint", "--output", "json"], 2, "UsageError", "No endpoint specified", "eicctl list-endpoints"),
        (["tunnel", "--remote-port", "22", "--output", "json"], 2, "UsageError", "No target specified", None),
    ],
)
def test_errors_are_json_where_the_output_is(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, kind: str, said: str, hint: str | None
) -> None:
    assert cli.main(words) == code
    error = json.loads(capsys.readouterr().err)["Error"]
    assert list(error) == ["Code", "Message", "Hint", "RequestId"]
    assert error["Code"] == kind
    assert said in error["Message"]
    assert hint is None or error["Hint"] == hint


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["ssh", "web-1", "tool", "--output", "json"], False),
        (["run", "--all", "--", "tool", "--output", "json"], False),
        (["run", "--all", "--output", "json", "--", "ls"], True),
        (["--profile", "dev", "instances", "--output=json"], True),
        (["instances", "--output", "text"], False),
    ],
)
def test_the_output_of_another_program_is_not_meant(
    monkeypatch: pytest.MonkeyPatch, words: list[str], wanted: bool
) -> None:
    monkeypatch.setattr(messages, "arguments", words)
    assert messages.json_wanted() is wanted


class Terminal(io.StringIO):
    """A terminal, as wide as COLUMNS says."""

    def isatty(self) -> bool:
        return True


COMMAND = "aws ec2 authorize-security-group-ingress --group-id sg-0123456789abcdef0 --protocol tcp --port 22"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("error: The security group of web-1 has no rule", ["error: The security group of web-1 has", "  no rule"]),
        (f"hint: {COMMAND}", [f"hint: {COMMAND}"]),
        (f"  {COMMAND}", [f"  {COMMAND}"]),
        (
            "hint: eicctl instances lists what there is; try it",
            ["hint: eicctl instances lists what there", "  is; try it"],
        ),
        ("one\ntwo", ["one", "two"]),
    ],
)
def test_prose_is_broken_between_words_and_a_command_can_be_copied(
    text: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert messages.fitted(text, Terminal()).splitlines() == lines
    assert messages.fitted(text, io.StringIO()) == text


def test_a_live_line_is_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stderr", terminal)
    messages.live("waiting for " + "x" * 40)
    assert terminal.getvalue() == "\r\x1b[Kwaiting for " + "x" * 27
    messages.live("名" * 40)
    assert terminal.getvalue().endswith("\x1b[K" + "名" * 19)
    messages.live("")


def test_only_errors_are_written_where_notes_are_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    messages.set_level(quiet=True)
    messages.line("a note")
    messages.live("a state")
    messages.failure(UsageError("wrong"))
    messages.set_level()
    messages.line("another note")
    assert capsys.readouterr().err == "error: wrong\nanother note\n"


def test_an_interrupt_while_a_class_is_created_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    error = RuntimeError("Error calling __set_name__ on 'Field' instance 'user' in 'Proxy'")
    error.__cause__ = KeyboardInterrupt()
    assert cli.explained(error) == 130
    assert "bug" not in capsys.readouterr().err


def test_what_openssh_passes_on_is_wrapped_to_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EICCTL_COLUMNS", "20")
    assert messages.fitted("the endpoint refuses the connection", io.StringIO()) == (
        "the endpoint refuses\n  the connection"
    )
