"""Every command that a hint names exists, and has the options that the hint gives it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

import click
from messages import HOLE, NOT_PROSE, help_texts, strings, text_of
from sources import FILES, name_of, nodes

from eicctl.cli import eicctl as group

_PROSE = frozenset(
    (
        "created",
        "reads",
        "sends",
        "fetches",
        "knows",
        "has",
        "writes",
        "begins",
        "is",
        "ends",
        "section",
        "can",
        "tunnels",
    )
)
"""Words after `eicctl` in a sentence about the program."""

_END = re.compile(r"[;,:)]( |$)|\)|\.( |$)| \(|`|<| \| |$|\beicctl |\baws ")
"""Where a command line in a hint ends, if the hint goes on."""

NO_BARE_HINTS = (
    "reachability/remedies.py",
    "doctor/checks/permission.py",
    "ssh/proxy_login.py",
    "ssh/openssh_options.py",
)
"""Modules that make command lines, in which options stand alone."""

SPOKEN_BY = {
    "reachability/jump_host.py": ("db",),
    "audit/athena_sql.py": ("audit", "policy connect"),
    "policy/check.py": ("doctor", "tunnel", "ssh"),
    "policy/documents.py": ("policy connect", "policy admin"),
    "policy/from_use.py": ("policy connect",),
    "api/endpoints.py": ("create-endpoint", "modify-endpoint"),
    "aws/endpoint_selection.py": ("ssh", "tunnel", "proxy", "doctor", "forward", "db", "rdp", "run"),
    "aws/credentials.py": ("mfa login",),
    "aws/databases.py": ("db",),
    "aws/endpoints.py": ("create-endpoint", "modify-endpoint", "delete-endpoint"),
    "aws/errors.py": ("instances", "ssh", "doctor", "mfa login", "run", "coverage"),
    "aws/instance_connect.py": ("ssh", "scp", "sftp", "run", "forward", "db", "proxy"),
    "aws/mfa.py": ("mfa login",),
    "aws/network.py": ("create-endpoint",),
    "aws/accounts.py": ("instances", "list-endpoints", "coverage", "audit"),
    "aws/profile_files.py": ("mfa login",),
    "aws/regions.py": ("doctor", "instances", "coverage"),
    "aws/session.py": ("ssh", "instances", "mfa login", "coverage", "up"),
    "aws/targets.py": ("ssh", "tunnel", "proxy", "doctor", "forward", "rdp"),
    "aws/explicit_target.py": ("tunnel", "doctor", "ssh", "proxy"),
    "core/request.py": ("proxy",),
    "doctor/checks/connectivity.py": ("doctor",),
    "doctor/checks/login.py": ("doctor",),
    "doctor/checks/target.py": ("doctor",),
    "ssh/host_keys.py": ("ssh", "run", "forward", "db"),
    "ssh/forward/login.py": ("forward", "db"),
    "ssh/login.py": ("ssh", "scp", "sftp"),
    "ssh/os_user.py": ("ssh", "scp", "sftp", "forward", "db"),
    "ssh/destination.py": ("forward",),
    "tunnel/relay.py": ("tunnel", "proxy"),
    "tunnel/errors.py": ("ssh", "tunnel", "proxy", "doctor", "forward", "db", "rdp", "run"),
    "tunnel/peer_uid.py": ("tunnel", "forward", "db", "rdp"),
    "ui/instances.py": ("ssh",),
    "support/tls.py": ("ssh", "tunnel", "run", "forward", "up"),
}
"""The commands that a module's bare hints (`--option …`) are printed by."""


def words_of(node: ast.AST) -> str:
    """The command line that is given word by word, as to `Session.command`; an empty text for anything else."""
    parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
    words = [text_of(word, {}) for word in parts]
    return " ".join(word or "X" for word in words) if words[:1] == ["eicctl"] else ""


@functools.cache
def hints() -> list[tuple[str, str]]:
    """Every string of the source that may be a hint, with its module and `X` for what is put in."""
    found = []
    for path in FILES:
        if not name_of(path).startswith(NOT_PROSE):
            texts = [text for _, text in strings(path)] + [words_of(node) for node in nodes(path)]
            found += [(name_of(path), text.replace(HOLE, "X")) for text in texts if text]
    return found


def lines_of(text: str) -> Iterator[list[str]]:
    """The command lines in a hint, without `eicctl`."""
    for match in re.finditer(r"\beicctl (?=[a-z-])", text):
        rest = text[match.end() :]
        end = _END.search(rest)
        words = rest[: end.start() if end else None].split()
        if words and words[0] not in _PROSE:
            yield words


def command_of(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command that words name, and the rest of them."""
    found: click.Command = group
    rest = list(words)
    while rest and isinstance(found, click.Group):
        inner = found.get_command(click.Context(found), rest[0])
        if not inner:
            return (None if found is group and not rest[0].startswith("-") else found), rest
        found, rest = inner, rest[1:]
    return found, rest


def options_of(command: click.Command) -> set[str]:
    """The options of a command, short and long."""
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return names | {"--help", "-h"}


def test_a_command_in_a_hint_is_one() -> None:
    commands = [(module, words) for module, text in hints() for words in lines_of(text)]
    assert len(commands) > 50
    wrong = []
    for module, words in commands:
        command, rest = command_of(words)
        given = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--"}
        if not command or given - options_of(command):
            wrong.append(f"{module}: eicctl {' '.join(words)}")
    assert not wrong


def bare_options(text: str) -> list[str]:
    """The options in a hint that are in no command line."""
    return re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"\beicctl [^;]*", "", text))


def test_a_bare_option_in_a_hint_is_one_of_all_commands_that_print_it() -> None:
    bare = {
        (module, option)
        for module, text in hints()
        if "/" in module
        and not module.startswith(("cli/", "view/", "fastpath/", "emulator/", "agent/", *NO_BARE_HINTS))
        if not re.fullmatch(r" ?--[a-zA-Z-]+=?X?", text) and not re.search(r"\b(aws|ssh|sudo|docker) ", text)
        for option in bare_options(text)
    }
    assert bare
    wrong = []
    for module, option in sorted(bare):
        for name in SPOKEN_BY[module]:
            command, _ = command_of(name.split())
            assert command
            if option not in options_of(command):
                wrong.append(f"{module} names {option}, which `eicctl {name}` does not have")
    assert not wrong


def test_no_message_names_a_file_that_an_installed_package_does_not_have() -> None:
    help_lines = [(name_of(path), text) for path in FILES for _, text in help_texts(path)]
    named = [(module, text) for module, text in (*hints(), *help_lines) if re.search(r"\bdocs/|\w\.md\b", text)]
    assert not named


def test_a_message_of_a_command_names_its_own_options() -> None:
    local = {
        (module, option)
        for module, text in hints()
        if re.fullmatch(r"cli/commands/[a-z_]+\.py", module) and " " in text and not re.search(r"\b(aws|docker) ", text)
        for option in bare_options(text)
    }
    wrong = []
    for module, option in sorted(local):
        command, rest = command_of([module.removeprefix("cli/").removesuffix(".py").replace("_", "-")])
        if not command or rest:
            continue  # shared by several commands
        own = options_of(command)
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                found = command.get_command(click.Context(command), name)
                own |= options_of(found) if found else set()
        if option not in own:
            wrong.append((module, option))
    assert not wrong
