"""The command line as plain values: what a completion script knows by itself.

A *kind* says what a value is: empty for anything, `file`, `=a b c` for a choice, `region` (listed in the script), or
one that `answer` knows (`instance`, `profile`, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FILE = "file"
COPY = "copy"
REGION = "region"

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:-]*|-[-A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Option:
    """An option.

    Attributes:
        names: Its spellings.
        kind: What its value is; None for a flag.
        help: What it does.
    """

    names: tuple[str, ...]
    kind: str | None
    help: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    Attributes:
        path: Its words, without `eicctl`; the root has none.
        summary: The first line of its help.
        options: Its options.
        arguments: The kinds of its arguments, in their order.
        repeats: Whether the last argument may be given again.
        ends: Whether what follows the first two arguments is another program's.
    """

    path: tuple[str, ...]
    summary: str
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()
    repeats: bool = False
    ends: bool = False

    @property
    def name(self) -> str:
        """Its words as one text."""
        return " ".join(self.path)


@dataclass(frozen=True, slots=True)
class Tree:
    """All commands, the root first, and the regions that are known.

    Raises:
        ValueError: A name has a character that is special in some shell.
    """

    commands: tuple[Command, ...]
    regions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        words = [name for command in self.commands for option in command.options for name in option.names]
        words += [word for command in self.commands for word in command.path]
        words += [kind.removeprefix("=") for _, kind in self.values() if kind] + list(self.regions)
        for word in words:
            if not _SAFE.fullmatch(word):
                raise ValueError(f"a completion script cannot have the word {word!r}")

    def below(self, command: Command) -> list[Command]:
        """The commands of a group; none where it is no group."""
        depth = len(command.path)
        return [one for one in self.commands if len(one.path) == depth + 1 and one.path[:depth] == command.path]

    def values(self) -> Iterator[tuple[str, str]]:
        """Each option that takes a value, as `COMMAND OPTION`, and its kind.

        One that has the same kind wherever it is comes once, as `* OPTION`, after all others.
        """
        found: dict[str, dict[str, str | None]] = {}
        for command in self.commands:
            for option in command.options:
                for name in option.names:
                    found.setdefault(name, {})[command.name] = option.kind
        common = {name for name, kinds in found.items() if len(set(kinds.values())) == 1 and len(kinds) > 1}
        for name in found.keys() - common:
            for command_name, kind in found[name].items():
                if kind is not None:
                    yield f"{command_name} {name}", kind
        for name in sorted(common):
            kind = next(iter(found[name].values()))
            if kind is not None:
                yield f"* {name}", kind

    def by_kind(self) -> list[tuple[str, list[str]]]:
        """`values`, those of a kind together."""
        found: dict[str, list[str]] = {}
        for key, kind in self.values():
            found.setdefault(kind, []).append(key)
        return [(kind, sorted(keys)) for kind, keys in sorted(found.items())]

    def arguments(self) -> list[tuple[str, list[str]]]:
        """The kinds of arguments, and where each is wanted: `COMMAND NUMBER`, or `COMMAND *` for all further ones."""
        found: dict[str, list[str]] = {}
        for command in self.commands:
            for number, kind in enumerate(command.arguments):
                last = number == len(command.arguments) - 1
                if kind:
                    place = "*" if last and command.repeats else str(number)
                    found.setdefault(kind, []).append(f"{command.name} {place}")
        return [(kind, sorted(keys)) for kind, keys in sorted(found.items())]


def in_words(commands: Sequence[Command]) -> str:
    """The last words of commands, separated by spaces."""
    return " ".join(command.path[-1] for command in commands)


def long_names(command: Command) -> list[str]:
    """The options that a completion offers: the long ones, which say what they are."""
    return [name for name, _ in long_options(command)]


def long_options(command: Command) -> list[tuple[str, str]]:
    """`long_names`, each with its help in one line."""
    return [
        (name, " ".join(option.help.split()))
        for option in command.options
        for name in option.names
        if name.startswith("--")
    ]
