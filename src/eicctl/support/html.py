"""HTML and SVG from nested elements, with every text escaped; whole pages that load nothing.

The only script of a page is `page.js` beside this file: it adds a search field and a copy button to each command, and
sorts tables by a click on a heading. Without scripts the page shows the same.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import TypeAlias

from eicctl.core import sanitize


class Markup(str):
    """Text that is markup already: the result of `element`, or a constant of this package."""

    __slots__ = ()


Child: TypeAlias = "str | Markup | int | Iterable[Child] | None"

_VOID = frozenset(("meta", "br", "col"))


def element(name: str, /, *children: Child, **attributes: str | int | float | None) -> Markup:
    """Return an element.

    Args:
        name: Its name.
        children: What is in it: markup as it is, text escaped, None for nothing, or several of these.
        attributes: Its attributes; `_` stands for `-`, a trailing one is dropped (`class_`), None leaves one out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(str(value)), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{_inner(children)}</{name}>")


def fragment(children: Iterable[Child]) -> Markup:
    """Return several children as one."""
    return Markup(_inner(children))


def table(heads: Sequence[str], rows: Iterable[tuple[Sequence[Child], str | None]], class_: str = "") -> Markup:
    """Return a table that can be sorted and searched.

    Args:
        heads: The headings; `#` before one marks a column of numbers.
        rows: The cells of each row, and the row's class.
        class_: The table's class.
    """
    kinds = ["num" if head.startswith("#") else None for head in heads]
    head = element("tr", [element("th", h.lstrip("#"), class_=kind) for h, kind in zip(heads, kinds, strict=True)])
    body = [
        element("tr", [element("td", c, class_=kind) for c, kind in zip(cells, kinds, strict=True)], class_=name)
        for cells, name in rows
    ]
    return element("table", element("thead", head), element("tbody", body), class_=class_ or None, data_sort="")


def command(*text: Child) -> Markup:
    """Return a command to copy."""
    return element("code", *text, data_copy="")


def document(title: str, style: str, *body: Child) -> str:
    """Return a whole page.

    Its Content-Security-Policy allows only `style` (CSS) and this module's script, whatever the texts in it say.
    """
    folder = resources.files("eicctl.support")
    style = folder.joinpath("page.css").read_text(encoding="utf-8") + style
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(style)),
    )
    whole = element("html", head, element("body", *body, element("script", Markup(script))), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def visible(text: str) -> str:
    """Return text with control and direction-changing characters as escapes: they could hide what is there."""
    return sanitize.line(text.replace("\n", " "))


def _inner(children: Iterable[Child]) -> str:
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, (str, int)):
            parts.append(escape(visible(str(child)), quote=True))
        else:
            parts.append(_inner(child))
    return "".join(parts)
