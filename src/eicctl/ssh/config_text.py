"""What eicctl writes into files of ssh_config(5), as text: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eicctl.errors import UsageError

HEADER = "# Written by eicctl ssh-config; changes are lost when it runs again."

_SECTION = re.compile(r"^# eicctl section: (.*)$")
_INCLUDE = re.compile(r"^\s*include\s+(.*\S)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One Host block.

    Attributes:
        hosts: The names or patterns.
        settings: Settings by name.
        comment: What it is, for people.
    """

    hosts: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""

    def text(self) -> str:
        """Return the block, with a newline at its end.

        Raises:
            UsageError: A value would end its line, and so begin a setting of its own.
        """
        for text in (*self.hosts, self.comment, *self.settings.values()):
            _check(text)
        lines = [f"Host {' '.join(self.hosts)}"]
        if self.comment:
            lines.append(f"  # {self.comment}")
        lines += [f"  {name} {value}" for name, value in self.settings.items()]
        return "\n".join(lines) + "\n"


def merged(text: str, section: str, blocks: Sequence[Block], *, whole: bool) -> str:
    """Return the file with these blocks in a section; other sections stay as they are.

    Args:
        text: The file as it is, or an empty text.
        section: The section's name: the profile and the region.
        blocks: The blocks, in their order.
        whole: Whether they are all that the section shall have; else blocks of other hosts stay, and patterns last.
    """
    _check(section)
    sections = _sections(text)
    new = {block.hosts[0]: block.text() for block in blocks}
    kept = {} if whole else {host: old for host, old in sections.get(section, {}).items() if host not in new}
    sections[section] = dict(sorted({**kept, **new}.items(), key=lambda item: "*" in item[0]))
    parts = [HEADER + "\n"]
    for name, found in sections.items():
        if found:
            parts += [f"# eicctl section: {name}\n", *found.values()]
    return "\n".join(parts)


def _check(text: str) -> None:
    """Raise where OpenSSH would not read a text as part of one line."""
    if any(char < " " or char == "\x7f" for char in text):
        raise UsageError(f"ssh_config cannot hold {text!r}: it has a control character")


def _lines(text: str) -> list[str]:
    """The lines as OpenSSH sees them, with their ends: Python's `splitlines` knows more line ends."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Return the sections of a file that eicctl has written: the blocks' texts by their first host."""
    sections: dict[str, dict[str, str]] = {}
    blocks: dict[str, str] = {}
    host = ""
    for line in text.split("\n"):
        if match := _SECTION.match(line):
            blocks = sections.setdefault(match[1], {})
            host = ""
        elif line.startswith("Host "):
            host = line.split()[1]
            blocks[host] = line + "\n"
        elif line.startswith(" ") and host:
            blocks[host] += line + "\n"
    return sections


def with_include(text: str, path: str) -> str:
    """Return the user's ssh_config with an Include line on top, where it holds for all hosts; once."""
    if _includes(text, path):
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    return f'Include "{path}"{newline}{text}'


def without_include(text: str, path: str) -> str:
    """Return the user's ssh_config without that line."""
    return "".join(line for line in _lines(text) if not _is_include(line, path))


def _includes(text: str, path: str) -> bool:
    """Whether a line before the first Host or Match includes the file."""
    for line in _lines(text):
        if re.match(r"\s*(host|match)\b", line, re.IGNORECASE):
            return False
        if _is_include(line, path):
            return True
    return False


def _is_include(line: str, path: str) -> bool:
    match = _INCLUDE.match(line)
    return match is not None and match[1].strip('"') == path
