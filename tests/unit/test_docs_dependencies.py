"""Each dependency has its reason on the page, and the page has no others."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def said() -> set[str]:
    """The packages in the first column of the page's tables about packages."""
    page = (ROOT / "docs" / "explanation" / "dependencies.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| package \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    return {name.strip() for cell in cells for name in re.sub(r"\(.*?\)", "", cell).split(",")}


def wanted() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    words = [
        *project["project"]["dependencies"],
        *(word for extra in project["project"]["optional-dependencies"].values() for word in extra),
        *(word for group in project["dependency-groups"].values() for word in group),
        *project["build-system"]["requires"],
    ]
    names = [re.match(r"[A-Za-z0-9._-]+", word) for word in words]
    return {name.group().lower() for name in names if name}


def test_each_dependency_has_a_reason_and_no_other_is_told() -> None:
    assert len(wanted()) > 20
    assert said() == wanted()
