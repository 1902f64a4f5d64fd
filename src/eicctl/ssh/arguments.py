"""The arguments of `eicctl ssh`, `scp` and `sftp`, parsed as OpenSSH's programs parse them.

eicctl's own options are long ones, which OpenSSH does not have; all short ones are OpenSSH's. `eicctl ssh` parses
before it imports anything, so little is imported here.
"""

from __future__ import annotations

from eicctl.core.errors import UsageError
from eicctl.support import pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Grammar:
    """How a program of OpenSSH parses its arguments.

    Args:
        name: The program.
        with_argument: Its options that take an argument.
        without_argument: Those that take none.
        port: The option for the port.
        operands_end_options: Whether everything after the first operand is the remote command's.
    """

    def __init__(
        self, name: str, with_argument: str, without_argument: str, *, port: str, operands_end_options: bool = False
    ) -> None:
        self.name = name
        self.with_argument = frozenset(with_argument)
        self.without_argument = frozenset(without_argument)
        self.port = port
        self.operands_end_options = operands_end_options


SSH = Grammar(
    "ssh",
    "BbcDEeFIiJLlmOoPpQRSWw",
    "46AaCfGgKkMNnqsTtVvXxYy",
    port="p",
    operands_end_options=True,
)
"""ssh(1)."""

SCP = Grammar("scp", "cDFiJloPSX", "346ABCOpqRrsTv", port="P")
"""scp(1)."""

SFTP = Grammar("sftp", "BbcDFiJloPRSsX", "46AaCfNpqrv", port="P")
"""sftp(1)."""


class Arguments:
    """OpenSSH's part of the arguments.

    Args:
        grammar: How they were parsed.
        options: Its options in their order, each with its argument or None.
        operands: The other words.
    """

    def __init__(self, grammar: Grammar, options: Sequence[tuple[str, str | None]], operands: Sequence[str]) -> None:
        self.grammar = grammar
        self.options = options
        self.operands = operands

    @property
    def user(self) -> str | None:
        """The OS user in the options, or None."""
        return self.setting("user") or (self.last("l") if self.grammar is SSH else None)

    @property
    def port(self) -> int:
        """The port in the options, or 0.

        Raises:
            UsageError: It is not a port.
        """
        given = self.setting("port") or self.last(self.grammar.port)
        if given is None:
            return 0
        if not given.isdigit() or not 0 < int(given) < 65536:
            raise UsageError(f"Invalid port: {given}")
        return int(given)

    @property
    def quiet(self) -> bool:
        """Whether to print errors only: `-q`, which a later `-v` undoes, or a LogLevel of errors only."""
        for name, _ in reversed(self.options):
            if name in ("q", "v"):
                return name == "q"
        return (self.setting("loglevel") or "").upper() in ("QUIET", "FATAL", "ERROR")

    @property
    def verbose(self) -> bool:
        """Whether OpenSSH is to explain what it does: `-v`, which a later `-q` undoes."""
        return not self.quiet and any(name == "v" for name, _ in self.options)

    @property
    def asks_program(self) -> bool:
        """Whether the options ask about the program itself (`-V`, `-Q cipher`) and connect nowhere."""
        return self.grammar is SSH and any(name in ("Q", "V") for name, _ in self.options)

    @property
    def key_file(self) -> str:
        """The private key in the options, as ssh would read its name, or an empty string."""
        return self.last("i") or (self.setting("identityfile") or "").strip('"')

    @property
    def has_proxy(self) -> bool:
        """Whether the options have a proxy or jump host of the user's own."""
        return bool(self.last("J") or self.setting("proxyjump") or self.setting("proxycommand"))

    def last(self, flag: str) -> str | None:
        """The argument of the last `-FLAG`."""
        return next((value for name, value in reversed(self.options) if name == flag), None)

    def setting(self, keyword: str) -> str | None:
        """The value of the first `-o KEYWORD=VALUE`, which is the one that OpenSSH uses."""
        for name, value in self.options:
            if name != "o" or value is None:
                continue
            key, _, rest = value.replace("=", " ", 1).partition(" ")
            if key.lower() == keyword.lower():
                return rest.strip()
        return None

    def to_argv(self) -> list[str]:
        """The options for OpenSSH's command line, without user and port, which eicctl adds itself."""
        words: list[str] = []
        ours = ("l", "p") if self.grammar is SSH else (self.grammar.port,)
        for flag, value in self.options:
            if flag in ours:
                continue
            words += [f"-{flag}"] if value is None else [f"-{flag}", value]
        return words


def split(words: Sequence[str], own: Mapping[str, bool], grammar: Grammar) -> tuple[list[str], Arguments]:
    """Split the arguments into eicctl's own long options and OpenSSH's.

    Args:
        words: All arguments.
        own: eicctl's long options, each with whether it takes a value.
        grammar: The program's.

    Returns:
        eicctl's arguments, each with its value in the same word, and OpenSSH's.

    Raises:
        UsageError: A short option is not the program's, or its argument is missing.
    """
    ours: list[str] = []
    options: list[tuple[str, str | None]] = []
    operands: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            if grammar.operands_end_options and not operands and _name_a_target(ours):
                operands.append("")  # no target word: the command follows
            if operands or not grammar.operands_end_options:
                operands += rest
                break
        elif word.startswith("--"):
            ours.append(f"{word}={rest.pop(0)}" if own.get(word) and rest else word)
        elif word.startswith("-") and word != "-" and not word.startswith("-:"):
            options += _short(word, rest, grammar)
        elif operands and grammar.operands_end_options:
            operands += [word, *rest]
            break
        else:
            operands.append(word)
    return ours, Arguments(grammar, options, operands)


def _name_a_target(ours: Sequence[str]) -> bool:
    return any(word.partition("=")[0] in ("--instance-id", "--private-ip-address") for word in ours)


def _short(word: str, rest: list[str], grammar: Grammar) -> list[tuple[str, str | None]]:
    """Parse one word of short options, such as `-vN` or `-L8080:localhost:80`; may pop its argument from `rest`."""
    found: list[tuple[str, str | None]] = []
    for position, flag in enumerate(word[1:], 1):
        if flag in grammar.without_argument:
            found.append((flag, None))
        elif flag in grammar.with_argument:
            argument = word[position + 1 :]
            if not argument and not rest:
                raise UsageError(f"{grammar.name} option -{flag} requires an argument")
            found.append((flag, argument or rest.pop(0)))
            break
        else:
            raise UsageError(
                f"-{flag} is not an option of {grammar.name}",
                hint=pins.command("eicctl", grammar.name, "--help"),
            )
    return found
