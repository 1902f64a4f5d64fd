"""The troubleshooting page quotes errors that the code has, and omits none but those about the words of a call."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from messages import HOLE, constants, text_of
from messages import errors as errors_of
from sources import FILES, nodes

from eicctl.core import errors

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "troubleshooting.md"


@functools.cache
def told() -> list[str]:
    """The quoted texts of the page: the first column of its tables."""
    rows = re.findall(r"^\| (`.+?`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [quoted for row in rows for quoted in re.findall(r"`([^`]+)`", row)]


def literals() -> set[str]:
    strings = (ast.Constant, ast.JoinedStr, ast.BinOp)
    found = {text_of(node, constants(path)) for path in FILES for node in nodes(path) if isinstance(node, strings)}
    return found - {""}


def fits(quoted: str, text: str) -> bool:
    """Whether the page's text means the code's: the same, or a beginning that is long enough to tell it from others."""
    page = quoted.replace("…", HOLE)
    return page == text or (page.endswith(HOLE) and len(page) > 20 and text.startswith(page[:-1]))


def messages() -> set[str]:
    """Messages of all errors, without those about the words of a call."""
    kinds = {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.EicctlError)
    } - {"EicctlError", "UsageError"}
    return {text for path in FILES for name, _, text in errors_of(path) if name in kinds and re.search(r"[a-z]", text)}


def test_each_quoted_text_is_in_the_code() -> None:
    assert len(told()) > 100
    texts = literals()
    in_one = "\n".join(sorted(texts))
    whole = {quoted for quoted in told() if "…" not in quoted and quoted in in_one}
    assert not [quoted for quoted in told() if quoted not in whole and not any(fits(quoted, text) for text in texts)]


def test_each_error_is_told() -> None:
    assert len(messages()) > 50
    assert not [text for text in messages() if not any(fits(quoted, text) for quoted in told())]
