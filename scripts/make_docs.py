"""Write the pages that are made from the source, and build the site into site/: make_docs.py [--check]

With --check nothing is written but the site, and that into a temporary folder.

The site has the pages where GitHub has them, so the same links lead to the same places: the README is its first page,
docs/README.md is its table of contents.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from check_docs import GENERATED

ROOT = Path(__file__).parent.parent
INDEX = Path("docs", "README.md")


def contents() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The headings of the table of contents, and below each the names and the pages, from the repository's root."""
    for part in (ROOT / INDEX).read_text(encoding="utf-8").split("\n## ")[1:]:
        caption, _, rest = part.partition("\n")
        links = re.findall(r"^- \[([^\]]+)\]\(([^)#]+)\)", rest, re.MULTILINE)
        yield caption, [(name, (INDEX.parent / link).as_posix()) for name, link in links]


def indexed(path: str) -> str:
    """The name of a page in the site: a folder's README is its index."""
    return re.sub(r"\bREADME\.md\b", "index.md", path)


def navigation() -> str:
    """The site's navigation, as Sphinx wants it: it complains of a page that is not in it."""
    more = [
        ("Results of benchmarks", "benchmarks/RESULTS.md"),
        ("Changelog", "CHANGELOG.md"),
        ("Contributing", "CONTRIBUTING.md"),
        ("Security policy", "SECURITY.md"),
        ("Code of conduct", "CODE_OF_CONDUCT.md"),
        ("Releasing", "RELEASING.md"),
    ]
    blocks = []
    for caption, pages in [("", [("All pages", INDEX.as_posix())]), *contents(), ("More", more)]:
        entries = "".join(f"{name} </{indexed(page).removesuffix('.md')}>\n" for name, page in pages)
        title = f":caption: {caption}\n" if caption else ""
        blocks.append(f"\n```{{toctree}}\n:hidden:\n{title}\n{entries}```\n")
    return "".join(blocks)


def lay_out(folder: Path) -> None:
    """Copy pages and pictures, each to its place."""
    pages = [*ROOT.glob("*.md"), ROOT / "benchmarks" / "RESULTS.md"]
    pages += [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".svg", ".png")]
    for page in pages:
        to = folder / indexed(page.relative_to(ROOT).as_posix())
        to.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix != ".md":
            shutil.copyfile(page, to)
            continue
        text = re.sub(r"\]\(([^)#\s:]*)README\.md", r"](\1index.md", page.read_text(encoding="utf-8"))
        to.write_text(text + (navigation() if page == ROOT / "README.md" else ""), encoding="utf-8")


def build(source: Path, site: Path) -> int:
    """Build the site; anything that Sphinx finds wrong is an error. Returns the exit code."""
    lay_out(source)
    command = [sys.executable, "-m", "sphinx", "-b", "dirhtml", "-W", "--keep-going", "-n", "-q", "-E"]
    command += ["-c", str(ROOT / "scripts" / "site"), "-d", str(source / ".doctrees"), str(source), str(site)]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="eicctl-site-") as folder:
        if sys.argv[1:] == ["--check"]:
            return build(Path(folder, "source"), Path(folder, "site"))
        for page, made in GENERATED.items():
            page.write_text(made(), encoding="utf-8")
        shutil.rmtree(ROOT / "site", ignore_errors=True)
        code = build(Path(folder, "source"), ROOT / "site")
    if not code:
        print("the site is in site/index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
