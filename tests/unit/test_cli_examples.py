"""Every example of `--help` is a command line that eicctl takes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from eicctl.cli import eicctl
from eicctl.core.errors import UsageError
from tests.examples import EXAMPLES, LINES, calls, make_files


@pytest.mark.parametrize("command", EXAMPLES)
def test_a_command_has_two_examples_of_itself(command: str) -> None:
    own = [line for line in EXAMPLES[command] if command in line]
    assert len(own) >= 2
    assert len(set(own)) == len(own)


@pytest.mark.parametrize("line", LINES)
def test_an_example_is_parsed(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = list(calls(line))
    assert found, "it does not run eicctl"
    for words in found:
        parse(words)


def parse(words: list[str]) -> None:
    """Parse a command line as Click does before it runs a command; its errors are Click's."""
    command: click.Command = eicctl
    context = command.make_context("eicctl", list(words))
    while isinstance(command, click.Group):
        left = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, left)
        assert found
        command, context = found, found.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("eicctl ps && eicctl up 'a b' > x", [["ps"], ["up", "a b"]]),
        ('eval "$(eicctl local env)"', [["local", "env"]]),
        ("ssh -o ProxyCommand='eicctl proxy %h --remote-port %p' x", [["proxy", "web-1", "--remote-port", "22"]]),
        ("eicctl x --query '[?a==`b`].[c]' | y", [["x", "--query", "[?a==`b`].[c]"]]),
        ("ls", []),
    ],
)
def test_calls_are_found(line: str, words: list[list[str]]) -> None:
    assert list(calls(line)) == words


@pytest.mark.parametrize(
    "words", [["ssh", "--no-such"], ["tunnel", "--remote-port", "x"], ["no-such"], ["policy", "x"]]
)
def test_what_eicctl_does_not_take_is_found(words: list[str]) -> None:
    with pytest.raises((click.UsageError, UsageError), match=r"(?i)no such|not a valid"):
        parse(words)
