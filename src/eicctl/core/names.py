"""Names, tags, addresses, counts as people read and type them: natural order, folded into ranges, near ones. No I/O."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eicctl.core.errors import EicctlError

MOST_SHOWN = 8
"""Names or ranges of names in one message."""

_NEAR = 0.7
"""The least similarity (`difflib.SequenceMatcher.ratio`) of a name that may have been meant."""

_NUMBER = re.compile(r"([0-9]+)")


def host_port(host: str, port: int) -> str:
    """Return `HOST:PORT`, with brackets around an IPv6 address (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 tunnel`, `2,500 tunnels`; `many` is a plural that does not only add an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def natural_key(text: str) -> tuple[object, ...]:
    """Return a sort key by which `web-2` comes before `web-10`, and case counts last."""
    # Numbers as their length and digits: int() refuses those of thousands of digits.
    parts = tuple(
        (len(number := part.lstrip("0")), number) if place % 2 else part
        for place, part in enumerate(_NUMBER.split(text.casefold()))
    )
    return parts, text


def natural(names: Iterable[str]) -> list[str]:
    """Return each name once, in natural order."""
    return sorted(set(names), key=natural_key)


def folded(names: Iterable[str], most: int = MOST_SHOWN) -> str:
    """Return names for one line: `db-1, prod-web-1 … prod-web-25`; beyond `most` of them only their number."""
    runs: list[list[str]] = []
    for name in natural(names):
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    parts = [part for run in runs for part in ([f"{run[0]} … {run[-1]}"] if len(run) > 2 else run)]
    more = len(parts) - most
    return ", ".join(parts[:most]) + (f" and {more} more" if more > 0 else "")


def _follows(before: str, name: str) -> bool:
    """Whether a name is another with its last number one higher."""
    first, second = _NUMBER.split(before), _NUMBER.split(name)
    if not len(first) == len(second) > 1 or first[:-2] + first[-1:] != second[:-2] + second[-1:]:
        return False
    a, b = first[-2], second[-2]
    # A number that is written with a leading zero keeps its width.
    same = len(a) == len(b) or not (a.startswith("0") or b.startswith("0"))
    return same and max(len(a), len(b)) < 19 and int(b) == int(a) + 1


def near(word: str, names: Iterable[str]) -> list[str]:
    """Return the names that a word may stand for, the likeliest first: those that begin with it, else similar ones."""
    import difflib

    known = natural(name for name in names if name)
    plain = _plain(word)
    if begun := [name for name in known if plain and _plain(name).startswith(plain)]:
        return sorted(begun, key=lambda name: _plain(name) != plain)
    by_plain = {_plain(name): name for name in reversed(known)}
    return [by_plain[match] for match in difflib.get_close_matches(plain, list(by_plain), 3, _NEAR)]


def correct(error: EicctlError, word: str, names: Iterable[str]) -> None:
    """Add to the error about a word the names that it may stand for, and the likeliest as its correction."""
    if meant := near(word, names):
        exact = _plain(meant[0]) == _plain(word) or len(meant) == 1
        error.message += f". Did you mean {meant[0]}?" if exact else f"; similar names: {folded(meant)}"
        error.correction = (word, meant[0], "", "")


def _plain(text: str) -> str:
    return re.sub(r"[\s_.-]+", "", text.casefold())


def same_but_case(word: str, names: Sequence[str]) -> list[str]:
    """Return the names that differ from a word by case only."""
    return [name for name in names if name.casefold() == word.casefold()]


def parse_tags(words: Iterable[str], option: str = "--tag") -> dict[str, str]:
    """Return the tags that words of an option say, as `{KEY: VALUE}`.

    Raises:
        UsageError: A word is not of the form KEY=VALUE.
    """
    from eicctl.core.errors import UsageError

    tags = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"Invalid tag {word!r}", hint=f"{option} KEY=VALUE")
        tags[key] = value
    return tags
