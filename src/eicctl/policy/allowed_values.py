"""Sets of values that statements allow or deny, and their differences: patterns of texts, and networks. No I/O."""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Patterns:
    """The texts that match a pattern with `*` and `?`, and none of its exceptions; a pair for each pattern.

    Where patterns overlap, and neither has all texts of the other, a difference has texts of both.
    """

    pairs: frozenset[tuple[str, frozenset[str]]]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Patterns:
        """Return the texts that match any of the patterns."""
        return cls(frozenset((pattern, frozenset()) for pattern in patterns))

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __contains__(self, text: str) -> bool:
        return any(_like(text, own) and not any(_like(text, one) for one in but) for own, but in self.pairs)

    def __sub__(self, other: Patterns) -> Patterns:
        left = self.pairs
        for pattern, but in sorted(other.pairs, key=repr):
            left = frozenset(pair for own in left for pair in (*_without(own, pattern), *_common(own, but)))
        return Patterns(left)

    def meeting(self, pattern: str) -> Patterns:
        """Return the patterns that may have texts in common with another one."""
        return Patterns(frozenset(one for one in self.pairs if _may_meet(one[0], pattern)))

    def texts(self, short: Callable[[str], str] = str) -> list[str]:
        """The patterns as texts, such as `any but root`; `short` shortens each of them."""
        found = (("any" if own == "*" else short(own), ", ".join(sorted(map(short, but)))) for own, but in self.pairs)
        return [f"{own} but {but}" if but else own for own, but in found]


def _without(own: tuple[str, frozenset[str]], pattern: str) -> list[tuple[str, frozenset[str]]]:
    mine, but = own
    if _within(mine, pattern):
        return []
    return [(mine, but | {pattern}) if _may_meet(mine, pattern) else own]


def _common(own: tuple[str, frozenset[str]], patterns: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
    mine, but = own
    both = [mine if _within(mine, one) else one for one in patterns if _may_meet(mine, one)]
    return [
        (one, frozenset(x for x in but if _may_meet(x, one))) for one in both if not any(_within(one, x) for x in but)
    ]


def _like(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _within(inner: str, outer: str) -> bool:
    """Whether a pattern has only texts of another one; False also where that is not certain."""
    return _like(inner, outer) and not ("*" in inner and "?" in outer)


def _may_meet(one: str, other: str) -> bool:
    """Whether two patterns may have texts in common: one has those of the other, or both have wildcards."""
    return _within(one, other) or _within(other, one) or all(set(text) & {"*", "?"} for text in (one, other))


@dataclass(frozen=True, slots=True)
class Networks:
    """The addresses of networks, which are disjoint and as large as possible. `EVERYWHERE` contains names, too."""

    networks: tuple[Network, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Networks:
        """Return the addresses of networks in CIDR notation.

        Raises:
            ValueError: A text is not a network.
        """
        return cls._merged([ipaddress.ip_network(text, strict=False) for text in texts])

    @classmethod
    def _merged(cls, networks: Iterable[Network]) -> Networks:
        found: list[Network] = []
        for version in (4, 6):
            same = [one for one in networks if one.version == version]
            found += ipaddress.collapse_addresses(same)  # type: ignore[type-var]
        return cls(tuple(found))

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __contains__(self, address: str) -> bool:
        try:
            return self == EVERYWHERE or any(ipaddress.ip_address(address) in one for one in self.networks)
        except ValueError:
            return False

    def __sub__(self, other: Networks) -> Networks:
        left = [*self.networks]
        for out in other.networks:
            left = [part for one in left for part in _parts(one, out)]
        return self._merged(left)

    def texts(self) -> list[str]:
        """The networks in CIDR notation; `any` for all addresses."""
        return ["any"] if self == EVERYWHERE else [str(one) for one in self.networks]


def _parts(one: Network, out: Network) -> list[Network]:
    """A network without the addresses of another one."""
    if one.version != out.version or not one.overlaps(out):
        return [one]
    return [] if one.subnet_of(out) else [*one.address_exclude(out)]  # type: ignore[arg-type]


ANYTHING = Patterns.of("*")
EVERYWHERE = Networks.of(["0.0.0.0/0", "::/0"])
