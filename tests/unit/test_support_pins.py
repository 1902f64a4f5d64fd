"""Command lines in hints work in another shell: with the profile and region in force, and with their words quoted."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

import click
import pytest
from reference import contexts, path_of
from sources import FILES, name_of, nodes

from eicctl.cli import COMMANDS
from eicctl.cli import eicctl as program
from eicctl.core.errors import EicctlError
from eicctl.support import pins
from eicctl.view import messages

BOTH = "--profile 'my prof' --region eu-west-1"


@pytest.fixture(autouse=True)
def nothing_in_force(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*pins.PROFILE_VARIABLES, *pins.REGION_VARIABLES, "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    pins.use(None, None)
    yield
    pins.use(None, None)


def test_the_table_is_what_the_commands_take() -> None:
    takes = {}
    for context in contexts(program):
        names = {name for param in context.command.params if isinstance(param, click.Option) for name in param.opts}
        if path_of(context) and (found := tuple(name for name in pins.BOTH if name in names)):
            takes[" ".join(path_of(context))] = found
    assert takes == pins.TAKES


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("eicctl instances", f"eicctl instances {BOTH}"),
        ("eicctl doctor 'web 1' --fix", f"eicctl doctor 'web 1' --fix {BOTH}"),
        ("eicctl doctor 'a;b, '\"'\"'c' --fix; or not", f"eicctl doctor 'a;b, '\"'\"'c' --fix {BOTH}; or not"),
        ("create one: eicctl create-endpoint.", f"create one: eicctl create-endpoint {BOTH}."),
        ("through it (eicctl forward), or eicctl db", f"through it (eicctl forward {BOTH}), or eicctl db {BOTH}"),
        ("eicctl doctor web.1 --region r", "eicctl doctor web.1 --region r --profile 'my prof'"),
        ("eicctl doctor web-1 --profile=p", "eicctl doctor web-1 --profile=p --region eu-west-1"),
        ("eicctl coverage --all-regions", "eicctl coverage --all-regions --profile 'my prof'"),
        ("eicctl ssh-config --all", f"eicctl ssh-config --all {BOTH}"),
        ("eicctl run --tag a=b -- COMMAND", f"eicctl run --tag a=b {BOTH} -- COMMAND"),
        ("eicctl policy admin", "eicctl policy admin --region eu-west-1"),
        ("eicctl scp --help", "eicctl scp --help"),
        ("aws sso login", "aws sso login --profile 'my prof'"),
        ("aws login", "aws login --profile 'my prof'"),
        ("aws configure, aws sso login", "aws configure --profile 'my prof', aws sso login --profile 'my prof'"),
        ("aws configure set region REGION", "aws configure set region REGION --profile 'my prof'"),
        ("aws ec2 start-instances --instance-ids i-1", f"aws ec2 start-instances --instance-ids i-1 {BOTH}"),
        ("eicctl ps", "eicctl ps"),
        ("eicctl local up --detach", "eicctl local up --detach"),
        ("eicctl mfa status", "eicctl mfa status"),
        ("give another port", "give another port"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("said_by", ["options", "environment"])
def test_what_is_in_force_is_in_the_command_line(
    hint: str, expected: str, said_by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if said_by == "options":
        monkeypatch.setenv("AWS_REGION", "elsewhere")
        pins.use("my prof", "eu-west-1")
    else:
        monkeypatch.setenv("AWS_PROFILE", "my prof")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    messages.failure(EicctlError("failed", hint=hint))
    assert capsys.readouterr().err == f"error: failed\nhint: {expected}\n"
    assert pins.pinned(expected) == expected


def test_keys_in_the_environment_are_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_PROFILE", "a")
    assert pins.pinned("eicctl instances") == "eicctl instances"


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the source but docstrings, with \\0 in the place of what is put in, and where it is."""
    for path in FILES:
        parts: set[ast.AST] = set()
        for node in nodes(path):
            if isinstance(node, ast.Expr):
                parts.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts.update(node.values)
                found = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                yield f"{name_of(path)}:{node.lineno}", "".join(map(str, found))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
                yield f"{name_of(path)}:{node.lineno}", node.value


def command_lines() -> Iterator[tuple[str, str]]:
    """The texts that may hold one."""
    return ((place, text) for place, text in texts() if "eicctl " in text or "aws " in text)


LINE = re.compile(
    rf"(?<!by )\b(?:eicctl (?:{'|'.join(COMMANDS)})|aws (?!login )[a-z0-9-]+ [a-z0-9-]+)(?![\w-])[^\0;\n]*\0"
)


def test_what_is_put_into_a_command_line_is_quoted() -> None:
    # A name with a space or a quote would be something else in a shell: `pins.command` makes command lines.
    assert [place for place, text in command_lines() if LINE.search(text)] == []


def test_no_prose_follows_a_command_line() -> None:
    # What is put at its end would be put into the prose: a comma, a semicolon or a bracket ends it.
    prose = re.compile(rf"(?:{pins._COMMAND})")
    found = [
        (place, word)
        for place, text in command_lines()
        if not place.startswith(("support/pins.py", "cli/commands/proxy.py"))  # the message of `proxy` is no hint
        for match in prose.finditer(text)
        for before, word in itertools.pairwise(["", *match["words"].split(" ")])
        if word.isalpha() and word.islower() and not before.startswith("-")
    ]
    assert found == []
