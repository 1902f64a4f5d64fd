"""Check the documentation: the reference is fresh, links between pages lead somewhere, commands named exist."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from reference import reference

from eicctl.cli import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def broken_links(page: Path) -> Iterator[str]:
    """Relative links that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists():
            yield f"link to {link}: no such file"
        elif anchor and to.suffix == ".md" and anchor not in anchors(to):
            yield f"link to {link}: no such heading"


def unknown_commands(page: Path) -> Iterator[str]:
    """`eicctl WORD` in code, where WORD is no command."""
    for code in re.findall(r"```.*?```|`[^`\n]+`", page.read_text(encoding="utf-8"), re.DOTALL):
        for word in re.findall(r"\beicctl ([a-z][a-z-]+)\b", code):
            if word not in COMMANDS:
                yield f"eicctl {word}: no such command"


def main() -> int:
    problems = [
        f"{page.relative_to(ROOT)}: {problem}"
        for page in PAGES
        for check in (broken_links, unknown_commands)
        for problem in check(page)
    ]
    if (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8") != reference():
        problems.append("docs/reference/commands.md is stale: make docs")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
