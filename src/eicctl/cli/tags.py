"""Options of the form KEY=VALUE."""

from __future__ import annotations

from collections.abc import Iterable

from eicctl.core.errors import UsageError


def parse_tags(words: Iterable[str]) -> dict[str, str]:
    """Return `{KEY: VALUE}`.

    Raises:
        UsageError: A word is not of the form KEY=VALUE.
    """
    tags = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"not a tag: {word!r}", hint="--tag KEY=VALUE")
        tags[key] = value
    return tags
