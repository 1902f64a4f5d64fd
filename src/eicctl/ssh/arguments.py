"""The arguments of `eicctl ssh`, `scp` and `sftp`, parsed as OpenSSH's programs parse them; and forwards, as
in ssh(1)'s `-L`.

eicctl's own options are long ones, which OpenSSH does not have; all short ones are OpenSSH's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from eicctl.core.errors import UsageError
from eicctl.support import pins


@dataclass(frozen=True, slots=True)
class Grammar:
    """How a program of OpenSSH parses its arguments.

    Attributes:
        name: The program.
        with_argument: Its options that take an argument.
        without_argument: Those that take none.
        port: The option for the port.
        operands_end_options: Whether everything after the first operand is the remote command's.
    """

    name: str
    with_argument: frozenset[str]
    without_argument: frozenset[str]
    port: str
    operands_end_options: bool = False


SSH = Grammar(
    "ssh",
    frozenset("BbcDEeFIiJLlmOoPpQRSWw"),
    frozenset("46AaCfGgKkMNnqsTtVvXxYy"),
    port="p",
    operands_end_options=True,
)
"""ssh(1)."""

SCP = Grammar("scp", frozenset("cDFiJloPSX"), frozenset("346ABCOpqRrsTv"), port="P")
"""scp(1)."""

SFTP = Grammar("sftp", frozenset("BbcDFiJloPRSsX"), frozenset("46AaCfNpqrv"), port="P")
"""sftp(1)."""


@dataclass(frozen=True, slots=True)
class Destination:
    """`[USER@]HOST`, or `SCHEME://[USER@]HOST[:PORT][/PATH]`; parts that are missing are empty or 0."""

    host: str
    user: str = ""
    port: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Arguments:
    """OpenSSH's part of the arguments.

    Attributes:
        grammar: How they were parsed.
        options: Its options in their order, each with its argument or None.
        operands: The other words.
    """

    grammar: Grammar
    options: tuple[tuple[str, str | None], ...]
    operands: tuple[str, ...]

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
            raise UsageError(f"invalid port: {given}")
        return int(given)

    @property
    def quiet(self) -> bool:
        """Whether to print errors only: `-q`, which a later `-v` undoes, or a LogLevel of errors only."""
        for name, _ in reversed(self.options):
            if name in ("q", "v"):
                return name == "q"
        return (self.setting("loglevel") or "").upper() in ("QUIET", "FATAL", "ERROR")

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
        eicctl's arguments, and OpenSSH's.

    Raises:
        UsageError: A short option is not the program's, or its argument is missing.
    """
    ours: list[str] = []
    options: list[tuple[str, str | None]] = []
    operands: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            if grammar.operands_end_options and not operands and _name_a_target(ours):
                operands.append("")  # no target word: the command follows
            if operands or not grammar.operands_end_options:
                operands += left
                break
        elif word.startswith("--"):
            ours.append(word)
            if own.get(word) and left:
                ours.append(left.pop(0))
        elif word.startswith("-") and len(word) > 1:
            options += _short(word, left, grammar)
        elif operands and grammar.operands_end_options:
            operands += [word, *left]
            break
        else:
            operands.append(word)
    return ours, Arguments(grammar, tuple(options), tuple(operands))


def _name_a_target(ours: Sequence[str]) -> bool:
    return any(word.partition("=")[0] in ("--instance-id", "--private-ip-address") for word in ours)


def _short(word: str, left: list[str], grammar: Grammar) -> list[tuple[str, str | None]]:
    """Parse one word of short options, such as `-vN` or `-L8080:localhost:80`; may pop its argument from `left`."""
    found: list[tuple[str, str | None]] = []
    for position, flag in enumerate(word[1:], 1):
        if flag in grammar.without_argument:
            found.append((flag, None))
        elif flag in grammar.with_argument:
            rest = word[position + 1 :]
            if not rest and not left:
                raise UsageError(f"{grammar.name} option -{flag} requires an argument")
            found.append((flag, rest or left.pop(0)))
            break
        else:
            raise UsageError(
                f"-{flag} is not an option of {grammar.name}",
                hint=pins.command("eicctl", grammar.name, "--help"),
            )
    return found


def parse_destination(text: str, scheme: str = "ssh") -> Destination:
    """Parse `[USER@]HOST` or `SCHEME://[USER@]HOST[:PORT][/PATH]`.

    Raises:
        UsageError: It is not of that form, or could be taken for an option.
    """
    if text.startswith(f"{scheme}://"):
        try:
            parts = urlsplit(text)
            found = Destination(
                parts.hostname or "", unquote(parts.username or ""), parts.port or 0, unquote(parts.path[1:])
            )
        except ValueError as error:
            raise UsageError(f"invalid {scheme} URL: {text!r}", hint=f"{scheme}://[USER@]HOST[:PORT]") from error
    else:
        user, _, host = text.rpartition("@")
        found = Destination(host, user)
    if found.host.startswith("-") or found.user.startswith("-"):
        raise UsageError(f"user and host cannot start with a dash: {text!r}")
    return found


def parse_remote_path(text: str, scheme: str = "scp") -> Destination | None:
    """Parse a path as scp(1) does: `[USER@]HOST:[PATH]` or `scp://…`; None for a local path.

    With a slash before its first colon it is a local path; an IPv6 address is in brackets, and so may be any host.

    Raises:
        UsageError: It could be taken for an option, or has no host.
    """
    if text.startswith(f"{scheme}://"):
        return parse_destination(text, scheme)
    user, at, rest = text.rpartition("@") if "@" in text.partition(":")[0] else ("", "", text)
    if rest.startswith("[") and "]:" in rest:
        host, _, path = rest[1:].partition("]:")
    else:
        # A tag's key may have colons (`tag:aws:autoscaling:groupName=web`): its target ends at the first one after `=`.
        key, equals, value = rest.partition("=") if rest.startswith("tag:") else ("", "", rest)
        value, colon, path = value.partition(":")
        host = f"{key}{equals}{value}"
        if not colon or ("/" in host and not equals) or "/" in user:
            return None
    if not host:
        raise UsageError(f"no host before the colon: {text!r}", hint="use TARGET:PATH, or ./NAME for a local file")
    return replace(parse_destination(f"{user}{at}{host}"), path=path)


FORMS = "HOST:PORT, LOCALPORT:HOST:PORT or PATH:HOST:PORT; with --via also PORT; an IPv6 address in brackets"

_PARTS = re.compile(r"\[[^\]]*\]|tag:[^=]+=[^:]*|[^:]+")


@dataclass(frozen=True, slots=True)
class ForwardSpec:
    """One forward.

    Attributes:
        host: The host as the user calls it; empty for the jump host itself.
        port: The remote port; 0 with `remote_path`.
        local_port: The local port; 0 for a free one, None for the same as the remote one if that is free.
        local_path: A local Unix socket instead of a port.
        remote_path: A Unix socket of the jump host instead of a port.
    """

    host: str
    port: int
    local_port: int | None = None
    local_path: Path | None = None
    remote_path: str = ""


def parse_forward(text: str) -> ForwardSpec:
    """Parse a forward specification.

    Raises:
        UsageError: It has none of the `FORMS`.
    """
    parts = _PARTS.findall(text)
    if not 1 <= len(parts) <= 3 or ":".join(parts) != text:
        raise _wrong(text)
    *before, last = parts
    local, host = "", ""
    if len(before) == 2:
        local, host = before
    elif before:
        (host,) = before
    remote_path = last if last.startswith("/") else ""
    port = 0 if remote_path else _port(last, 1, text)
    host = host.removeprefix("[").removesuffix("]")
    if ("/" in host and not host.startswith("tag:")) or (len(parts) == 2 and host.isdigit()):
        # LOCALPORT:PORT and PATH:PORT would read like HOST:PORT.
        raise _wrong(text)
    if not local:
        return ForwardSpec(host, port, 0 if remote_path else None, remote_path=remote_path)
    if "/" in local:
        return ForwardSpec(host, port, local_path=Path(local), remote_path=remote_path)
    return ForwardSpec(host, port, _port(local, 0, text), remote_path=remote_path)


def _port(text: str, least: int, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text) < 65536:
        raise UsageError(f"invalid port in {whole!r}: {text}", hint=FORMS)
    return int(text)


def _wrong(text: str) -> UsageError:
    return UsageError(f"invalid forward: {text!r}", hint=FORMS)
