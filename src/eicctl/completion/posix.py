"""What the scripts for bash and zsh have in common: functions that are one `case`."""

from __future__ import annotations

from collections.abc import Iterable

from eicctl.completion.tree import Tree

Row = tuple[list[str], str]
"""What to match, and what to do then."""


def function(name: str, rows: Iterable[Row], *, subject: str, first: str = "", otherwise: str = "") -> str:
    """Return a function.

    Args:
        name: Its name.
        rows: Its cases, in their order.
        subject: What is matched.
        first: A line before.
        otherwise: What to do where nothing matches.
    """
    lines = [f"        {' | '.join(map(_pattern, keys))}) {what} ;;" for keys, what in rows if keys]
    if otherwise:
        lines.append(f"        *) {otherwise} ;;")
    body = [f"    {first}"] * bool(first) + [f'    case "{subject}" in', *lines, "    esac"]
    return "\n".join([f"{name}() {{", *body, "}", ""])


def lookups(tree: Tree) -> list[str]:
    """Return the functions that set `kind` for an option or an argument, and the one that knows where the words of
    another program begin. Each fails where there is none."""
    return [
        function("_eicctl_takes", _kinds(tree.by_kind()), subject="$1 $2", otherwise="return 1"),
        function("_eicctl_argument", _kinds(tree.arguments()), subject="$1 $2", otherwise="return 1"),
        function(
            "_eicctl_ends",
            [([command.name for command in tree.commands if command.ends], ":")],
            subject="$1",
            otherwise="return 1",
        ),
    ]


def quoted(text: str) -> str:
    """Return a word of the shell that is this text and nothing else."""
    return "'" + text.replace("'", "'\\''") + "'"


def _kinds(rows: list[tuple[str, list[str]]]) -> list[Row]:
    """What is particular comes first: the first pattern that fits counts."""
    found = [(keys, f"kind={quoted(kind)}") for kind, keys in rows]
    particular = [([key for key in keys if not key.startswith("*")], what) for keys, what in found]
    return particular + [([key for key in keys if key.startswith("*")], what) for keys, what in found]


def _pattern(key: str) -> str:
    """A pattern of `case`: a star at an end is one, and all else is as it is."""
    start, end = key.startswith("* "), key.endswith(" *")
    return "*" * start + quoted(key[start : len(key) - end]) + "*" * end
