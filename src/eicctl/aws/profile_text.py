"""Sections that eicctl owns in the text of AWS configuration files. Text in, text out; all other bytes stay.

The rules are those of botocore's parser (Python's `configparser`): a header is indented no deeper than the option
before it, a line that is continues that option's value, comments are whole lines.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

MARK = "eicctl_mfa"
"""Keys that begin so belong to eicctl, and so does a section that has one. botocore ignores them."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_HEADER = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<key>[^=:]*?)\s*[=:]\s*(?P<value>.*)")

Name = Callable[[str], str]
"""Tells the profile that a header stands for; empty where it is none."""


def credentials_profile(header: str) -> str:
    """The profile of a header in the credentials file."""
    return header


def config_profile(header: str) -> str:
    """The profile of a header in the config file: `profile NAME`, or `default`."""
    if header == "default":
        return header
    try:
        words = shlex.split(header)
    except ValueError:
        return ""
    return words[1] if len(words) == 2 and header.startswith("profile") else ""


@dataclass(frozen=True, slots=True)
class _Section:
    """Lines `start` to `stop` (exclusive); the first is the header. `options` has each key's first and last line."""

    profile: str
    start: int
    stop: int
    options: dict[str, tuple[int, int, str]]

    @property
    def owned(self) -> bool:
        return any(key.startswith(MARK) for key in self.options)


def owned(text: str, name: Name) -> dict[str, dict[str, str]]:
    """Return the options of each section that eicctl owns, by profile; keys in small letters."""
    return {
        section.profile: {key: value for key, (_, _, value) in section.options.items()}
        for section in _sections(_lines(text), name)
        if section.owned
    }


def has(text: str, name: Name, profile: str) -> bool:
    """Tell whether there is a section of the profile."""
    return any(section.profile == profile for section in _sections(_lines(text), name))


def put(text: str, name: Name, profile: str, header: str, values: Mapping[str, str]) -> str:
    """Return the text with a section that eicctl owns; the one that it owned is replaced, wherever it was.

    What somebody else has added to that section stays in it.

    Args:
        text: The file.
        name: How the file's headers name profiles.
        profile: The profile.
        header: The header, without brackets.
        values: The section's options. A key with `MARK` must be among them.
    """
    lines = _lines(text)
    end = (lines[0][len(lines[0].rstrip("\r\n")) :] if lines else "") or "\n"
    written = [f"{key} = {value}{end}" for key, value in values.items()]
    for section in _sections(lines, name):
        if section.profile == profile and section.owned:
            drop = _lines_of(section, values)
            kept = [line for number, line in _numbered(lines, section) if number not in drop]
            head = lines[section.start]
            if not head.endswith(("\r", "\n")):
                head += end
            return "".join([*lines[: section.start], head, *written, *kept, *lines[section.stop :]])
    if lines and not lines[-1].endswith(("\r", "\n")):
        lines[-1] += end
    return "".join([*lines, *([end] if lines else []), f"[{header}]{end}", *written])


def take(text: str, name: Name, profile: str, keys: Iterable[str]) -> str:
    """Return the text without what `put` wrote of a profile: these keys, those with `MARK`, and a header left alone."""
    lines = _lines(text)
    for section in reversed(list(_sections(lines, name))):
        if section.profile != profile or not section.owned:
            continue
        drop = _lines_of(section, keys)
        if set(section.options) <= {*keys, *(key for key in section.options if key.startswith(MARK))}:
            drop.add(section.start)
            if section.start and not lines[section.start - 1].strip():
                drop.add(section.start - 1)
        lines = [line for number, line in enumerate(lines) if number not in drop]
    return "".join(lines)


def _lines(text: str) -> list[str]:
    return _LINE.findall(text)


def _numbered(lines: list[str], section: _Section) -> Iterator[tuple[int, str]]:
    for number in range(section.start + 1, section.stop):
        yield number, lines[number]


def _lines_of(section: _Section, keys: Iterable[str]) -> set[int]:
    wanted = set(keys)
    return {
        number
        for key, (first, last, _) in section.options.items()
        if key in wanted or key.startswith(MARK)
        for number in range(first, last + 1)
    }


def _sections(lines: list[str], name: Name) -> Iterator[_Section]:
    section: tuple[str, int, dict[str, tuple[int, int, str]]] | None = None
    key, margin = "", 0
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare or bare.startswith(("#", ";")):
            continue
        indent = len(line) - len(line.lstrip())
        if section and key and indent > margin:
            first, _, value = section[2][key]
            section[2][key] = (first, number, f"{value}\n{bare}")
            continue
        margin = indent
        if found := _HEADER.match(bare):
            if section:
                yield _Section(name(section[0]), section[1], number, section[2])
            section, key = (found["name"], number, {}), ""
        elif section and (option := _OPTION.match(bare)):
            key = option["key"].strip().lower()
            section[2][key] = (number, number, option["value"].strip())
    if section:
        yield _Section(name(section[0]), section[1], len(lines), section[2])
