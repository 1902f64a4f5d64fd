"""The examples of `--help`: the command lines of eicctl in them, and a world in which their names are something."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from manual import parted
from reference import contexts, path_of

from eicctl.cli import eicctl

EXAMPLES = {
    " ".join(("eicctl", *path_of(context))): parted(context.command.help or "")[2] for context in contexts(eicctl)
}
"""The examples of each command."""

LINES = [line for lines in EXAMPLES.values() for line in lines]

FILES = ("policy.json", "commands.txt", "world.toml", "site.tar.gz", "dump.sql", "file.tar", "home/.ssh/windows.pem")
"""Files that examples name."""

_OPENSSH = {"%h": "web-1", "%p": "22"}
"""What OpenSSH puts into a ProxyCommand."""


def make_files(folder: Path) -> None:
    """Make the files that examples name; the home folder is `home` there."""
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (folder / "home/.zfunc").mkdir(exist_ok=True)


def calls(line: str) -> Iterator[list[str]]:
    """Yield the words after `eicctl`, for each time that a shell's line runs it.

    That may be in `$(…)` and in an option of OpenSSH's, too.
    """
    for part in parts(line):
        if part[0] == "eicctl":
            yield [str(Path(word).expanduser()) if word.startswith("~/") else word for word in part[1:]]
        else:
            for word in part:
                for inner in re.findall(r"\beicctl ([^')]*)", word):
                    yield [_OPENSSH.get(inner_word, inner_word) for inner_word in shlex.split(inner)]


def parts(line: str) -> list[list[str]]:
    """The commands of a line, without what is written into files."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.wordchars += "?*[]{}=,@:%+$()"
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;>"):
            found.append([])
        else:
            found[-1].append(word)
    return [part for part in found if part]
