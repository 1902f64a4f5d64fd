"""Every command's help: the list's summary, examples, sections, and the options that all commands have."""

from __future__ import annotations

import click
import pytest
from reference import contexts

from eicctl import cli
from eicctl.cli import COMMANDS, SECTIONS, eicctl
from eicctl.cli.options import CommonOption


def load(name: str) -> click.Command:
    command = eicctl.get_command(click.Context(eicctl), name)
    assert command
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_the_first_line_of_the_help(name: str) -> None:
    assert (load(name).help or "").splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str) -> None:
    assert f"  eicctl {name}" in (load(name).help or "") or "eicctl proxy" in (load(name).help or "")


def test_every_option_is_explained() -> None:
    for context in contexts(eicctl):
        for parameter in context.command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, (context.command_path, parameter.opts)


def test_help_shows_no_option_that_the_command_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--cidr" in "".join(shown(capsys, "policy", "connect", "--help"))
    page = "".join(shown(capsys, "policy", "auditor", "--help"))
    assert "--source-ip" in page
    assert not [name for name in ("--endpoint", "--port", "--cidr", "--os-user") if f"{name} " in page]
    assert cli.main(["policy", "auditor", "--cidr", "10.0.0.0/8"]) == 2
    assert "--cidr has no effect in a policy for auditors" in capsys.readouterr().err


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.main(list(words)) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_is_in_sections_that_are_aligned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = shown(capsys, "--help")
    assert [line[:-1] for line in lines if line.endswith(":") and line[:-1] in SECTIONS] == list(SECTIONS)
    assert len(SECTIONS["Connect"]) == 10
    rows = [line for line in lines if line.startswith("  ") and line.split()[0] in COMMANDS]
    assert [row.split()[0] for row in rows] == list(COMMANDS)
    assert {len(row) - len(row[2:].partition(" ")[2].lstrip()) for row in rows} == {19}
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_word_is_broken_at_its_hyphen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("create-endpoint", "delete-endpoint", "policy connect"):
        lines = shown(capsys, *name.split(), "--help")
        assert not [line for line in lines if line.endswith("-") and not line.endswith(" -")]


def test_common_options_are_one_line_and_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("show-endpoint", "ssh", "doctor"):
        lines = shown(capsys, name, "--help")
        assert [line.split() for line in lines if "--profile" in line] == [
            ["--profile,", "…", "Common", "options:", "eicctl", "help", "options."]
        ]
        assert not [line for line in lines if line.lstrip().startswith(("--debug", "--ca-bundle", "--fips"))]
    page = "\n".join(shown(capsys, "help", "options"))
    command = load("show-endpoint")
    common = [param.opts[0] for param in command.params if isinstance(param, CommonOption)]
    assert common == ["--profile", "--region", "--ca-bundle", "--fips", "--debug", "--log-file"]
    assert all(f"  {name} " in page for name in [*common, "-q, --quiet", "-v, --verbose", "--query"])


def test_help_shows_what_the_option_shows(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["ssh"], ["policy", "check"]):
        assert shown(capsys, "help", *words) == shown(capsys, *words, "--help")
    assert cli.main(["help", "policy", "nothing"]) == 2
    assert "No such command 'policy nothing'" in capsys.readouterr().err


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["policy"], ["config"], ["mfa"], ["local"]):
        help_lines = shown(capsys, *words, "--help")
        assert not any(line.endswith("...") for line in help_lines[1:])
        assert cli.main(words) == 2
        assert capsys.readouterr().err.splitlines() == help_lines


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("tunnel web-1 --remote-port 99999", "Invalid value for '--port' / '--remote-port'", "eicctl tunnel --help"),
        (
            "tunnel web-1 --local-port abc",
            "Invalid value for '--local-port': 'abc' is not a valid integer",
            "eicctl tunnel --help",
        ),
        ("config lst", "No such command 'lst'. Did you mean 'list'?", "eicctl config --help"),
        ("completion", "Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish", "eicctl completion --help"),
        ("create-endpoint --subnet-id", "Option '--subnet-id' requires an argument", "eicctl create-endpoint --help"),
        ("instances --outpt json", "No such option '--outpt'. Did you mean '--output'?", "eicctl instances --help"),
        ("policy conect", "No such command 'conect'", "eicctl policy --help"),
        ("--bad", "No such option '--bad'", "eicctl --help"),
        ("ssh web-1 --ssh-port 22", "No such option '--ssh-port'", "instead of the AWS CLI's --ssh-port: -p PORT"),
    ],
)
def test_a_usage_error_is_an_error_and_a_hint(
    words: str, message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words.split()) == 2
    error, second = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {message}")
    assert not error.endswith(".")
    assert second == f"hint: {hint}"
