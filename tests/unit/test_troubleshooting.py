"""The troubleshooting page quotes errors that the code has, and omits none but those about the words of a call."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from eicctl.core import errors
from tests.sources import FILES, nodes

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "troubleshooting.md"
HOLE = "\0"
"""What stands for the part of a message that differs."""


@functools.cache
def told() -> list[str]:
    """The quoted texts of the page: the first column of its tables."""
    rows = re.findall(r"^\| (`.+?`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [quoted for row in rows for quoted in re.findall(r"`([^`]+)`", row)]


def constants(path: Path) -> dict[str, str]:
    """The texts that a module gives a name."""
    module = nodes(path)[0]
    assert isinstance(module, ast.Module)
    return {
        node.targets[0].id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def text_of(node: ast.expr, names: dict[str, str]) -> str | None:
    """The text of a literal, with a hole for each part that is only known later; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            known = isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name)
            parts.append(names.get(part.value.id, HOLE) if known else HOLE)  # type: ignore[attr-defined]
    return re.sub(f"{HOLE}+", HOLE, "".join(parts))


def literals() -> set[str]:
    found = set()
    for path in FILES:
        names = constants(path)
        found |= {text for node in nodes(path) if isinstance(node, ast.expr) and (text := text_of(node, names))}
    return found


def fits(quoted: str, text: str) -> bool:
    """Whether the page's text means the code's: the same, or a beginning that is long enough to tell it from others."""
    page = quoted.replace("…", HOLE)
    return page == text or (page.endswith(HOLE) and len(page) > 20 and text.startswith(page[:-1]))


def messages() -> set[str]:
    """Messages of all errors, without those about the words of a call."""
    kinds = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.EicctlError)
    } - {"EicctlError", "UsageError"}
    found = set()
    for path in FILES:
        names = constants(path)
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds and node.args:
                text = text_of(node.args[0], names)
                if text and re.search(r"[a-z]", text):
                    found.add(text)
    return found


def test_each_quoted_text_is_in_the_code() -> None:
    assert len(told()) > 100
    texts = literals()
    in_one = "\n".join(sorted(texts))
    whole = {quoted for quoted in told() if "…" not in quoted and quoted in in_one}
    assert not [quoted for quoted in told() if quoted not in whole and not any(fits(quoted, text) for text in texts)]


def test_each_error_is_told() -> None:
    assert len(messages()) > 50
    assert not [text for text in messages() if not any(fits(quoted, text) for quoted in told())]
