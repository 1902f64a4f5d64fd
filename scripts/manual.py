"""The manual pages, made by docutils from Click's commands: from what `--help` is made from."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
from docutils import core, nodes, utils
from docutils.frontend import get_default_settings
from docutils.writers import manpage
from reference import contexts, path_of

import eicctl
from eicctl.cli import SECTIONS, LazyGroup
from eicctl.cli import eicctl as program

FOLDER = Path(eicctl.__file__).parent / "man"
"""Where the pages are: in the package, for `eicctl man`."""

Rows = Iterable[tuple[str, str]]

_EXIT = (
    ("0", "All went well."),
    ("2", "The command line is wrong."),
    ("3", "Something was not found, or is ambiguous."),
    ("4", "AWS denied it, or the credentials are missing or have expired."),
    ("5", "The target or the endpoint cannot be reached."),
    ("6", "The service refused: limits, throttling."),
    ("130", "It was interrupted."),
)
_ENVIRONMENT = (
    ("AWS_PROFILE, AWS_REGION, AWS_ACCESS_KEY_ID, …", "As for the AWS CLI."),
    ("AWS_CA_BUNDLE", "CA certificates to trust, as --ca-bundle."),
    ("HTTPS_PROXY, ALL_PROXY, NO_PROXY", "The proxy to use, and for whom not."),
    ("EICCTL_HOME", "A folder for all files of eicctl."),
    ("EICCTL_AGENT", "off: neither use nor start the background process."),
    ("EICCTL_SPARE", "off: keep no connection ready for the next tunnel."),
    ("NO_COLOR", "No colours."),
)
_FILES = (
    ("~/.config/eicctl/config.toml", "The user's settings."),
    ("eicctl.toml", "The named tunnels of a project."),
    ("~/.aws/config, ~/.aws/credentials", "As for the AWS CLI."),
)


class _Translator(manpage.Translator):  # type: ignore[misc]
    """That of docutils, and more characters which groff would print as others, so that no shell takes their copies."""

    document_start = "Made by `make docs` from the command line."

    def encode_special_chars(self, text: str) -> str:
        return super().encode_special_chars(text).replace("^", "\\(ha").replace("~", "\\(ti")  # type: ignore[no-any-return]

    def header(self) -> str:
        summary = self._docinfo["subtitle"].replace("\\", "\\e")
        self._docinfo["subtitle"] = self.encode_special_chars(summary)
        return super().header()  # type: ignore[no-any-return]


class _Writer(manpage.Writer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.translator_class = _Translator


def manual_pages() -> dict[Path, Callable[[], str]]:
    """Return the file of each command's page, with the function that makes it.

    A page keeps its date as long as nothing else in it changes.
    """
    return {FOLDER / f"{_name(context)}.1": functools.partial(_dated, context) for context in contexts(program)}


def _name(context: click.Context) -> str:
    return "-".join(("eicctl", *path_of(context)))


def _dated(context: click.Context) -> str:
    path = FOLDER / f"{_name(context)}.1"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    date = re.search(r'^\.TH "[^"]*" "1" "([^"]*)"', old, re.MULTILINE)
    if date and old == command_page(context, date[1]):
        return old
    today = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
    return command_page(context, time.strftime("%Y-%m-%d", today))


def command_page(context: click.Context, date: str) -> str:
    """Return a command's page as roff."""
    command = context.command
    summary, text, examples = parted(command.help or "")
    group = command if isinstance(command, click.Group) else None
    below = [
        (name, one.get_short_help_str(200))
        for name in (group.list_commands(context) if group else [])
        if (one := group.get_command(context, name) if group else None) and not one.hidden
    ]
    params = (param for param in command.get_params(context) if isinstance(param, click.Option))
    typed, usage = " ".join(("eicctl", *path_of(context))), " ".join(command.collect_usage_pieces(context))
    more = (("Exit status", _EXIT), ("Environment", _ENVIRONMENT), ("Files", _FILES)) if not context.parent else ()
    names = [*([_name(context.parent)] if context.parent else []), *(f"{_name(context)}-{name}" for name, _ in below)]
    return roff(
        _name(context),
        summary,
        date,
        (
            ("Synopsis", [nodes.paragraph("", "", nodes.strong(text=typed), nodes.Text(" "), *words(usage))]),
            ("Description", [nodes.paragraph(text=" ".join(part.split())) for part in (summary, *text)]),
            *([("Commands", rows(below))] if not isinstance(command, LazyGroup) else _sections()),
            ("Options", rows(record for param in params if (record := param.get_help_record(context)))),
            *((heading, rows(more_rows)) for heading, more_rows in more),
            ("Examples", [nodes.literal_block(text="\n".join(examples))] if examples else []),
            ("See also", [nodes.paragraph(text=", ".join(f"{name}(1)" for name in names))]),
        ),
    )


def _sections() -> list[tuple[str, list[nodes.Node]]]:
    """The commands of the program, in the sections of its help."""
    return [(f"Commands: {heading}", rows(section.items())) for heading, section in SECTIONS.items()]


def roff(name: str, summary: str, date: str, sections: Iterable[tuple[str, Sequence[nodes.Node]]]) -> str:
    """Return a page as roff. A section without anything in it is left out."""
    document = utils.new_document(name, get_default_settings(_Writer()))
    number = nodes.field("", nodes.field_name(text="manual_section"), nodes.field_body("", nodes.paragraph(text="1")))
    version = nodes.version(text=f"eicctl {eicctl.__version__}")
    document += [nodes.title(text=name), nodes.subtitle(text=summary.rstrip("."))]
    document += nodes.docinfo("", number, nodes.date(text=date), version)
    for heading, content in sections:
        if content:
            document += nodes.section("", nodes.title(text=heading), *content)
    text = core.publish_from_doctree(document, writer=_Writer(), settings_overrides={"output_encoding": "unicode"})
    return re.sub(r"^\.SH (.*)\n(\.sp\n)?", lambda match: f".SH {match[1].upper()}\n", text, flags=re.MULTILINE)


def rows(given: Rows) -> list[nodes.Node]:
    """Return terms and what they mean as a list."""
    items = [
        nodes.definition_list_item(
            "", nodes.term("", "", *words(term)), nodes.definition("", nodes.paragraph(text=what))
        )
        for term, what in given
    ]
    return [nodes.definition_list("", *items)] if items else []


def words(text: str) -> list[nodes.Node]:
    """Return a usage or an option, in which capitals stand for something."""
    parts = re.split(r"\b([A-Z][A-Z0-9_.|@-]*)\b", " ".join(text.split()))
    return [nodes.emphasis(text=part) if at % 2 else nodes.Text(part) for at, part in enumerate(parts) if part]


def parted(help_text: str) -> tuple[str, list[str], list[str]]:
    """Return a help's first line, its other paragraphs, and the lines of its examples."""
    paragraphs = [part for part in help_text.split("\n\n") if part.strip()]
    examples: list[str] = []
    text: list[str] = []
    for paragraph in paragraphs:
        lines = [line for line in paragraph.splitlines() if line.strip("\b ")]
        if lines[0].strip() == "Examples:":
            examples += [line.strip() for line in lines[1:]]
        else:
            text.append(paragraph)
    first, _, rest = (text[0] if text else "").partition("\n")
    return first, [part for part in (rest, *text[1:]) if part], examples
