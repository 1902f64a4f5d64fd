"""HTML and SVG from nested elements, with every text escaped; whole pages that run no script and load nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
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


def joined(children: Iterable[Child]) -> Markup:
    """Return several children as one."""
    return Markup(_inner(children))


def document(title: str, style: str, *body: Child) -> str:
    """Return a whole page. Its Content-Security-Policy allows only `style` (CSS), whatever the texts in it say."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(style)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', *body), lang='en')}\n"


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
