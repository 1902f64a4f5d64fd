"""Check the documentation: links, commands and options lead somewhere, pages are listed, generated ones are fresh."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
from manual import manual_pages
from messages import page as messages
from reference import commands, doctor_checks

from eicctl.cli import COMMANDS, eicctl

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
GENERATED = {
    DOCS / "reference" / "commands.md": commands,
    DOCS / "reference" / "doctor-checks.md": doctor_checks,
    DOCS / "reference" / "messages.md": messages,
    **manual_pages(),
}
"""Pages that are made from the source, with the functions that make them."""

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 1
        while name in found:
            name, number = f"{name.removesuffix(f'-{number - 1}')}-{number}", number + 1
        found.add(name)
    return found


def links(page: Path) -> Iterator[str]:
    """Where a page's links and pictures lead: inline ones, and the definitions of `[text][name]`."""
    text = prose(page)
    yield from re.findall(r"\]\(([^)\s]*)\)", text)
    yield from re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.MULTILINE)
    yield from re.findall(r"<(https?:[^>]*)>", text)


def broken_links(page: Path) -> Iterator[str]:
    """Links that lead nowhere. Of those to elsewhere only the form is looked at."""
    for link in links(page):
        if ":" in link.partition("/")[0]:
            parts = urlsplit(link)
            if parts.scheme not in ("https", "mailto") or not (parts.path or parts.netloc):
                yield f"link to {link}: not a link to the outside that is https"
            continue
        path, _, anchor = link.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not link or not to.exists():
            yield f"link to {link}: no such file"
        elif not to.is_relative_to(ROOT):
            yield f"link to {link}: not in this repository"
        elif anchor and to.suffix == ".md" and anchor not in anchors(to):
            yield f"link to {link}: no such heading"
        elif DOCS in page.parents and to.suffix not in (".md", ".svg", ".png"):
            yield f"link to {link}: the site has pages and pictures only"


def unknown_commands(page: Path) -> Iterator[str]:
    """`eicctl WORD` in code, where WORD is no command. The page of messages has sentences in its code."""
    if page.name == "messages.md":
        return
    for code in re.findall(r"```.*?```|`eicctl [^`\n]+`", page.read_text(encoding="utf-8"), re.DOTALL):
        for word in re.findall(r"\beicctl ([a-z][a-z-]+)\b", code):
            if word not in COMMANDS:
                yield f"eicctl {word}: no such command"


def unknown_options(page: Path) -> Iterator[str]:
    """Options of eicctl in code that its commands do not have."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?:\$ )?((?:[A-Z_]+=\S+ )?eicctl .*)$", text, re.MULTILINE)
    lines += re.findall(r"`(eicctl [^`\n]+)`", text)
    for line in lines:
        inner = re.findall(r"\$\(([^()]*)\)", line)
        outer = re.sub(r"\$\([^()]*\)", "X", line)
        for piece in (*inner, *re.split(r"[|;&]", outer)):
            yield from _unknown_options(re.split(r"\s--\s", piece)[0])


def _unknown_options(line: str) -> Iterator[str]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        words = line.split()
    if "eicctl" not in words:
        return
    command: click.Command = eicctl
    path = ["eicctl"]
    for word in words[words.index("eicctl") + 1 :]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            inner = command.get_command(click.Context(command), word)
            if inner is None:
                return
            command, path = inner, [*path, word]
        elif word.startswith("--") and word != "--":
            name = word.partition("=")[0].rstrip(",.:]")
            known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
            if name not in known | {"--help", "--version"}:
                yield f"{' '.join(path)} {name}: no such option"


def unlisted(page: Path) -> Iterator[str]:
    """A page of docs/ that its index does not link to."""
    listed = {(INDEX.parent / link).resolve() for link in links(INDEX)}
    if DOCS in page.parents and page != INDEX and page not in listed:
        yield "docs/README.md does not link to it"


CHECKS = (broken_links, unknown_commands, unknown_options, unlisted)


def main() -> int:
    problems = [f"{page.relative_to(ROOT)}: {problem}" for page in PAGES for check in CHECKS for problem in check(page)]
    for page, made in GENERATED.items():
        if page.read_text(encoding="utf-8") != made():
            problems.append(f"{page.relative_to(ROOT)} is stale: make docs")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
