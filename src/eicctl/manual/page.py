"""A manual page as text of roff, with the macros of man(7) that groff and mandoc have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
"""What roff would read, or would print as another character that cannot be copied into a shell."""

Rows = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says.

    Attributes:
        name: `eicctl`, or `eicctl-ssh`.
        command: What is typed: `eicctl ssh`.
        usage: What follows it.
        summary: One line.
        text: Paragraphs.
        examples: Command lines.
        options: Each with what it does.
        commands: Each with what it does, where it is a group.
        more: Other sections: a heading, and rows of a term and what it means.
        see_also: Names of pages.
    """

    name: str
    command: str
    usage: str
    summary: str
    text: Sequence[str] = ()
    examples: Sequence[str] = ()
    options: Rows = ()
    commands: Rows = ()
    more: Sequence[tuple[str, Rows]] = ()
    see_also: Sequence[str] = ()

    def roff(self, version: str, date: str) -> str:
        """Return the page's source.

        Args:
            version: The program's version, for the footer.
            date: The page's date: `YYYY-MM-DD`.
        """
        lines = [f'.TH "{escaped(self.name.upper())}" 1 "{date}" "eicctl {escaped(version)}" "eicctl"']
        lines += [".SH NAME", f"{escaped(self.name)} \\- {_text(self.summary.rstrip('.'))}"]
        lines += [".SH SYNOPSIS", f"\\fB{escaped(self.command)}\\fR {_words(self.usage)}"]
        lines += [".SH DESCRIPTION", _text(self.summary)]
        for paragraph in self.text:
            lines += [".PP", _text(paragraph)]
        lines += _section("COMMANDS", self.commands)
        lines += _section("OPTIONS", self.options)
        for heading, rows in self.more:
            lines += _section(heading, rows)
        if self.examples:
            lines += [".SH EXAMPLES", ".EX", *map(_literal, self.examples), ".EE"]
        if self.see_also:
            lines += [".SH SEE ALSO", ",\n".join(f"\\fB{escaped(name)}\\fR(1)" for name in self.see_also)]
        return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that roff prints as it is. Where a line begins, see `_text`."""
    return "".join(_SPECIAL.get(char) or (char if char.isascii() else f"\\[u{ord(char):04X}]") for char in text)


def _section(heading: str, rows: Rows) -> list[str]:
    lines = [f".SH {heading}"] if rows else []
    for term, meaning in rows:
        lines += [".TP", _words(term), _text(meaning) or "\\&"]
    return lines


def _text(text: str) -> str:
    """Running text. A line that begins with a dot would be a request; an apostrophe is escaped already."""
    line = escaped(" ".join(text.split()))
    return f"\\&{line}" if line.startswith(".") else line


def _literal(line: str) -> str:
    return "\\&" + escaped(line)


def _words(text: str) -> str:
    """A usage or an option: what is typed as it is in bold, what stands for something in italics."""

    def marked(match: re.Match[str]) -> str:
        word = match[0]
        font = "I" if word.isupper() else "B"
        return f"\\f{font}{escaped(word)}\\fR"

    parts = re.split(r"([A-Za-z0-9@.:_=|-]+)", " ".join(text.split()))
    line = "".join(marked(m) if (m := re.fullmatch(r"[A-Za-z0-9@.:_=|-]+", part)) else escaped(part) for part in parts)
    return f"\\&{line}" if line.startswith(".") else line
