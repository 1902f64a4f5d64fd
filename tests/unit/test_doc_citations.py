"""Code cites pages and headings that exist, and the glossary names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from check_docs import anchors

ROOT = Path(__file__).parents[2]
FACTS = "docs/explanation/protocol.md"


def citations() -> set[tuple[str, str, str]]:
    """Each cited page and anchor (or an empty text), with the file that cites it."""
    files = [path for part in ("src", "tests", "scripts", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    return {
        (path.relative_to(ROOT).as_posix(), page, anchor)
        for path in files
        if path.name != "test_check_docs.py"
        for page, anchor in re.findall(r"\b(docs/[\w/-]+\.md)(?:#([\w-]+))?", path.read_text(encoding="utf-8"))
    }


def test_the_glossary_names_files_that_exist() -> None:
    page = (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    named = {
        cell for row in page.splitlines() if row.startswith("|") for cell in re.findall(r"`([\w/]+(?:/|\.py))`", row)
    }
    assert len(named) > 30
    assert not {name for name in named if not (ROOT / "src" / "eicctl" / name).exists()}


def test_each_cited_heading_exists() -> None:
    found = citations()
    headings = {page: anchors(ROOT / page) for _, page, _ in found if (ROOT / page).exists()}
    wrong = {cited for cited in found if cited[1] not in headings or (cited[2] and cited[2] not in headings[cited[1]])}
    assert not wrong


def test_a_fact_of_the_service_is_cited_with_its_section() -> None:
    facts = [
        (path, anchor)
        for path, page, anchor in citations()
        if page == FACTS and path != "tests/unit/test_doc_citations.py"
    ]
    assert len(facts) > 30
    assert not [path for path, anchor in facts if not anchor]
