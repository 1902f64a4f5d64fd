"""Code cites pages and headings that exist, and pages name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from check_docs import anchors

ROOT = Path(__file__).parents[2]
FACTS = "docs/explanation/protocol.md"


def citations() -> set[tuple[str, str, str]]:
    """Each cited page and anchor (or an empty text), with the file that cites it."""
    files = [path for part in ("src", "tests", "scripts", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    return {
        (path.relative_to(ROOT).as_posix(), page, anchor)
        for path in files
        if path.name != "test_docs_check.py"
        for page, anchor in re.findall(r"\b(docs/[\w/-]+\.md)(?:#([\w-]+))?", path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("page", ["docs/reference/glossary.md", "docs/explanation/architecture.md", "CONTRIBUTING.md"])
def test_a_page_names_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", text))
    assert len(named) > 5
    assert not {name for name in named if not any((ROOT / top / name).exists() for top in ("src/eicctl", "src", "."))}


def test_each_cited_heading_exists() -> None:
    found = citations()
    headings = {page: anchors(ROOT / page) for _, page, _ in found if (ROOT / page).exists()}
    wrong = {cited for cited in found if cited[1] not in headings or (cited[2] and cited[2] not in headings[cited[1]])}
    assert not wrong


def test_a_fact_of_the_service_is_cited_with_its_section() -> None:
    facts = [
        (path, anchor)
        for path, page, anchor in citations()
        if page == FACTS and path != "tests/unit/test_docs_citations.py"
    ]
    assert len(facts) > 30
    assert not [path for path, anchor in facts if not anchor]
