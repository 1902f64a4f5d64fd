"""Filters of EC2's Describe calls. EC2 takes `*` and `?` in a filter's value for wildcards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def exact(values: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return filters that match these values and no others, whatever characters a user's name has.

    Args:
        values: The accepted values of each filter, by its name (`tag:Name`, `vpc-id`, …).
    """
    return [{"Name": name, "Values": [_literal(value) for value in each]} for name, each in values.items()]


def patterns(values: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return filters in whose values `*` and `?` are wildcards. Only for what a user gives as a pattern."""
    return [{"Name": name, "Values": list(each)} for name, each in values.items()]


def _literal(text: str) -> str:
    return re.sub(r"([\\*?])", r"\\\1", text)
