"""Manual pages made from Click's commands: from what `--help` is made from."""

from __future__ import annotations

import os
import time

import click

from eicctl import __version__
from eicctl.cli.tree import contexts
from eicctl.manual.page import Page

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


def pages(root: click.Command) -> dict[str, Page]:
    """Return the pages of a command and of all below it, by their names."""
    found = [_page(context) for context in contexts(root)]
    return {page.name: page for page in found}


def sources(root: click.Command) -> dict[str, str]:
    """Return the roff of all pages, by their names."""
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))
    return {name: page.roff(__version__, date) for name, page in pages(root).items()}


def _page(context: click.Context) -> Page:
    command = context.command
    typed = context.command_path if context.parent is None else _typed(context)
    summary, text, examples = parted(command.help or "")
    group = command if isinstance(command, click.Group) else None
    below = [
        (name, one.get_short_help_str(200))
        for name in (group.list_commands(context) if group else [])
        if (one := group.get_command(context, name) if group else None) and not one.hidden
    ]
    params = (param for param in command.get_params(context) if isinstance(param, click.Option))
    root = context.find_root()
    others = [name for name in (_typed(context.parent) if context.parent else "", typed) if name and name != typed]
    return Page(
        name=typed.replace(" ", "-"),
        command=typed,
        usage=" ".join(command.collect_usage_pieces(context)),
        summary=summary,
        text=text,
        examples=examples,
        options=[record for param in params if (record := param.get_help_record(context))],
        commands=below,
        more=(("EXIT STATUS", _EXIT), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)) if context is root else (),
        see_also=[name.replace(" ", "-") for name in (*others, *(f"{typed} {name}" for name, _ in below))],
    )


def _typed(context: click.Context) -> str:
    names = []
    at: click.Context | None = context
    while at:
        names.append(at.info_name or "")
        at = at.parent
    return " ".join(reversed(names))


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
