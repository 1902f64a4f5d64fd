"""HTML and SVG that cannot be broken by what is in it: every text is escaped where it is put in. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from eicctl.core import sanitize


class Markup(str):
    """Text that is markup already. Made by `element` only, and for what this package itself has written."""

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
