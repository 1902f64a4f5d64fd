"""The words of `eicctl ssh`, read as ssh(1) reads them.

eicctl's own options are long ones, which OpenSSH does not have; all short ones are OpenSSH's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from eicctl.errors import UsageError

WITH_ARGUMENT = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
"""OpenSSH's options that take an argument (ssh(1))."""

WITHOUT_ARGUMENT = frozenset("46AaCfGgKkMNnqsTtVvXxYy")
"""OpenSSH's options that take none (ssh(1))."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom to reach: `[USER@]HOST`, or `ssh://[USER@]HOST[:PORT]`. Empty and 0 where not given."""

    host: str
    user: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Arguments:
    """OpenSSH's part of the words.

    Attributes:
        options: Its options in their order, each with its argument or None.
        destination: The host as it was written; empty where there is none.
        command: The remote command's words.
    """

    options: tuple[tuple[str, str | None], ...]
    destination: str
    command: tuple[str, ...]

    def last(self, flag: str) -> str | None:
        """The argument of the last `-FLAG`."""
        return next((value for name, value in reversed(self.options) if name == flag), None)

    def setting(self, keyword: str) -> str | None:
        """The value of the first `-o KEYWORD=VALUE`, which is the one that OpenSSH takes."""
        for name, value in self.options:
            if name != "o" or value is None:
                continue
            key, _, rest = value.replace("=", " ", 1).partition(" ")
            if key.lower() == keyword.lower():
                return rest.strip()
        return None

    def passed_on(self) -> list[str]:
        """The options for OpenSSH's command line, without user and port, which eicctl settles itself."""
        words: list[str] = []
        for flag, value in self.options:
            if flag in ("l", "p"):
                continue
            words += [f"-{flag}"] if value is None else [f"-{flag}", value]
        return words


def split(words: Sequence[str], own: Mapping[str, bool]) -> tuple[list[str], Arguments]:
    """Part eicctl's own long options from OpenSSH's words.

    Args:
        words: All words.
        own: eicctl's long options, each with whether it takes a value.

    Returns:
        eicctl's words, and OpenSSH's.

    Raises:
        UsageError: A short option is not OpenSSH's, or its argument is missing.
    """
    ours: list[str] = []
    options: list[tuple[str, str | None]] = []
    destination = ""
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            if destination:
                return ours, Arguments(tuple(options), destination, tuple(left))
        elif word.startswith("--"):
            ours.append(word)
            if own.get(word) and left:
                ours.append(left.pop(0))
        elif word.startswith("-") and len(word) > 1:
            options += _short(word, left)
        elif destination:
            return ours, Arguments(tuple(options), destination, (word, *left))
        else:
            destination = word
    return ours, Arguments(tuple(options), destination, ())


def _short(word: str, left: list[str]) -> list[tuple[str, str | None]]:
    """Read one word of short options, such as `-vN` or `-L8080:localhost:80`; takes an argument from `left`."""
    found: list[tuple[str, str | None]] = []
    for position, flag in enumerate(word[1:], 1):
        if flag in WITHOUT_ARGUMENT:
            found.append((flag, None))
        elif flag in WITH_ARGUMENT:
            rest = word[position + 1 :]
            if not rest and not left:
                raise UsageError(f"the ssh option -{flag} needs an argument")
            found.append((flag, rest or left.pop(0)))
            break
        else:
            raise UsageError(
                f"-{flag} is not an option of ssh", hint="eicctl's own options are long: eicctl ssh --help"
            )
    return found


def parse_destination(text: str) -> Destination:
    """Read `[USER@]HOST` or `ssh://[USER@]HOST[:PORT]`.

    Raises:
        UsageError: It is not of that form, or could be taken for an option.
    """
    if text.startswith("ssh://"):
        try:
            parts = urlsplit(text)
            found = Destination(parts.hostname or "", unquote(parts.username or ""), parts.port or 0)
        except ValueError as error:
            raise UsageError(f"not an ssh URL: {text!r}", hint="ssh://[USER@]HOST[:PORT]") from error
    else:
        user, _, host = text.rpartition("@")
        found = Destination(host, user)
    if found.host.startswith("-") or found.user.startswith("-"):
        raise UsageError(f"neither a user nor a host may start with a dash: {text!r}")
    return found
