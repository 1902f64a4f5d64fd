r"""EC2's filter values: `*` and `?` are wildcards, a backslash takes their meaning away.

moto compares in five ways, none of which knows all of that; `install` gives them all the one.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from typing import Any

import moto.ec2.models.security_groups
import moto.ec2.models.tags
import moto.ec2.utils

# fnmatch of the standard library would do, but for `[…]`, which it takes for a set and EC2 for itself.
_PARTS = re.compile(r"\\.|\*|\?|[^\\*?]+|\\", re.DOTALL)
_WILDCARDS = {"*": ".*", "?": "."}


def matches(patterns: Sequence[str], values: Iterable[str]) -> bool:
    """Whether any of the values matches any of the patterns. Case counts."""
    compiled = [re.compile(_expression(pattern)) for pattern in patterns]
    return any(pattern.fullmatch(value) for value in values for pattern in compiled)


def install() -> None:
    """Let moto's EC2 compare as EC2 does."""
    utils, groups, tags = moto.ec2.utils, moto.ec2.models.security_groups, moto.ec2.models.tags
    for module, name, ours in (
        (utils, "simple_aws_filter_to_re", _expression),
        (tags, "simple_aws_filter_to_re", _expression),
        (utils, "tag_filter_matches", _tags_match),
        (groups, "tag_filter_matches", _tags_match),
        (utils, "is_filter_matching", _object_matches),
        (utils, "instance_value_in_filter_values", _value_matches),
        (groups, "aws_api_matches", lambda pattern, value: _value_matches(value, [pattern])),
    ):
        if not hasattr(module, name):
            raise AttributeError(f"{module.__name__} has no {name}")  # moto has changed
        setattr(module, name, ours)


def _tags_match(resource: Any, name: str, patterns: Sequence[str]) -> bool:
    tags = [(str(tag["key"]), str(tag["value"])) for tag in resource.get_tags()]
    if name == "tag-key":
        return matches(patterns, [key for key, _ in tags])
    return matches(patterns, [value for key, value in tags if name in ("tag-value", f"tag:{key}")])


def _object_matches(resource: Any, name: str, patterns: Any) -> bool:
    return _value_matches(resource.get_filter_value(name), patterns)


def _value_matches(value: Any, patterns: Any) -> bool:
    return matches([patterns] if isinstance(patterns, str) else list(patterns or ()), _texts(value))


def _texts(value: Any) -> list[str]:
    """A value of moto's as the texts that a filter looks at."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, datetime.datetime):
        return [moto.ec2.utils.format_timestamp(value)]
    if isinstance(value, (str, int)):
        return [str(value)]
    return [text for item in value for text in _texts(item)]


def _expression(pattern: str) -> str:
    """The regular expression of a filter's value. moto matches with it at the start only, so it has its own end."""
    return "(?s:" + "".join(map(_regex, _PARTS.findall(pattern))) + r")\Z"


def _regex(part: str) -> str:
    if part in _WILDCARDS:
        return _WILDCARDS[part]
    return re.escape(part[1:] if part[0] == "\\" and part != "\\" else part)
