r"""EC2's filter values: `*` and `?` are wildcards, a backslash takes their meaning away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# fnmatch of the standard library would do, but for `[…]`, which it takes for a set and EC2 for itself.
_PARTS = re.compile(r"\\.|\*|\?|[^\\*?]+|\\", re.DOTALL)
_WILDCARDS = {"*": ".*", "?": "."}


def matches(patterns: Sequence[str], values: Iterable[str]) -> bool:
    """Whether any of the values matches any of the patterns. Case counts."""
    compiled = [re.compile("".join(map(_regex, _PARTS.findall(pattern))), re.DOTALL) for pattern in patterns]
    return any(pattern.fullmatch(value) for value in values for pattern in compiled)


def _regex(part: str) -> str:
    if part in _WILDCARDS:
        return _WILDCARDS[part]
    return re.escape(part[1:] if part[0] == "\\" and part != "\\" else part)
