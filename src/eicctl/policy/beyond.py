"""Compare what policy statements allow for connecting with what was used. No I/O.

A Deny statement is subtracted from each Allow statement: what an Allow leaves must differ in one dimension only, as a
statement allows all combinations of its values. Other Deny statements are named.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, cast

from eicctl.core.model import DIRECT_PORTS, MAX_TUNNEL_DURATION
from eicctl.policy.allowed_values import ANYTHING, EVERYWHERE, Networks, Patterns
from eicctl.policy.documents import Statement, listed
from eicctl.policy.from_use import Call, Usage, arn_of, fold
from eicctl.policy.lint import (
    ADDRESS,
    DURATION,
    OPEN,
    OS_USER,
    PORT,
    PUSH,
    conditions,
    covers,
    grammar,
)
from eicctl.support.bare import parse_json

SOURCE = "aws:SourceIp"

_NUMERIC: Mapping[str, Callable[[float, float], bool]] = {
    "NumericEquals": operator.eq,
    "NumericNotEquals": operator.ne,
    "NumericLessThan": operator.lt,
    "NumericLessThanEquals": operator.le,
    "NumericGreaterThan": operator.gt,
    "NumericGreaterThanEquals": operator.ge,
}
_TEXTS = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike")
_KEYS = {
    OPEN: {PORT: "port", ADDRESS: "address", DURATION: "duration", SOURCE: "source"},
    PUSH: {OS_USER: "OS user", SOURCE: "source"},
}
"""The condition keys that the requests of an action have, and the dimensions of a statement that they limit."""

_ALL: Mapping[str, Any] = {
    "port": frozenset(DIRECT_PORTS),
    "address": EVERYWHERE,
    "duration": frozenset((None, *range(1, MAX_TUNNEL_DURATION + 1))),
    "source": EVERYWHERE,
    "OS user": ANYTHING,
}
"""All values of a dimension; the duration None is that of a request without one."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a statement allows in one respect, and what was used of it, as texts."""

    name: str
    today: tuple[str, ...]
    used: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A statement that allows an action.

    Attributes:
        statement: The policy's name, and the statement's Sid or number.
        action: `OpenTunnel` or `SendSSHPublicKey`.
        calls: The number of recorded calls that it allows.
        dimensions: What it allows, without what Deny statements take from it, and what was used.
        others: Its conditions that are not compared, as `Operator key`; they count as fulfilled.
        denials: Deny statements that take something from it and are not compared, each with the reason.
    """

    statement: str
    action: str
    calls: int
    dimensions: list[Dimension]
    others: list[str]
    denials: list[str]

    @property
    def allows_more(self) -> bool:
        """Whether it allows more than what was used."""
        return any(set(one.today) - set(one.used) for one in self.dimensions)


_ARNS = {"endpoint": "arn:*:instance-connect-endpoint/*", "instance": "arn:*:instance/*"}
"""What the resources of actions look like; others in a statement are those of other actions."""


def read_document(text: str) -> dict[str, object]:
    """Return the policy document in a text.

    Raises:
        ValueError: It has none.
    """
    found = parse_json(text)
    if not isinstance(found, dict) or "Statement" not in found:
        raise ValueError("it has no Statement")
    for number, one in enumerate(listed(found["Statement"]), 1):
        for _, problem, _ in grammar(one):
            raise ValueError(f"statement #{number}: {problem}")
    return found


def _statements_of(document: Mapping[str, object]) -> list[Statement]:
    """Return the statements of a document that IAM or `read_document` has accepted."""
    return cast("list[Statement]", listed(document.get("Statement", [])))


def compare(policies: Iterable[tuple[str, Mapping[str, object]]], usage: Usage, *, by_source: bool) -> list[Comparison]:
    """Compare what the current policies allow with what was used.

    Args:
        policies: The policies' names and documents.
        usage: What was used.
        by_source: Whether to compare the callers' addresses.
    """
    areas = [
        area
        for name, policy in policies
        for number, one in enumerate(_statements_of(policy), 1)
        for action in (OPEN, PUSH)
        if covers(one, action) and (area := _area(f"{name} {one.get('Sid') or f'#{number}'}", one, action))
    ]
    denies = [area for area in areas if not area.allows]
    allows = (area for area in areas if area.allows and all(area.values.values()))
    compared = (_compared(area, denies, usage, by_source=by_source) for area in allows)
    return [one for one in compared if one]


@dataclass(frozen=True, slots=True)
class _Area:
    """What a statement allows or denies of an action: all combinations of the values in its dimensions.

    `others` are its conditions that are not compared.
    """

    statement: str
    action: str
    allows: bool
    values: dict[str, Any]
    others: list[str] = field(default_factory=list)


def _area(name: str, one: Statement, action: str) -> _Area | None:
    """The area of a statement; None where it never applies, as it has conditions on keys that no request has."""
    patterns = Patterns.of(map(str, listed(one.get("Resource", one.get("NotResource", [])))))
    resource = "endpoint" if action == OPEN else "instance"
    values: dict[str, Any] = {
        resource: (ANYTHING - patterns if "NotResource" in one else patterns).meeting(_ARNS[resource]),
        **{dimension: _ALL[dimension] for dimension in _KEYS[action].values()},
    }
    area = _Area(name, action, one.get("Effect") == "Allow", values)
    present = {key.lower(): dimension for key, dimension in _KEYS[action].items()}
    known = {key.lower() for keys in _KEYS.values() for key in keys}
    for key, tests in conditions(one).items():
        dimension = present.get(key.lower(), "")
        for how, texts in tests:
            if not dimension and key.lower() in known:
                if not _fits_absent(how, texts):
                    return None
            elif dimension and (fitting := _fitting(dimension, how.removesuffix("IfExists"), how, texts)) is not None:
                values[dimension] -= _ALL[dimension] - fitting
            else:
                area.others.append(f"{how} {key}")
    return area


def _fits_absent(how: str, texts: Sequence[str]) -> bool:
    """Whether a condition is fulfilled by a request without its key (IAM user guide, condition operators)."""
    return how.endswith("IfExists") or (texts == ["true"] if how == "Null" else "Not" in how)


def _fitting(dimension: str, kind: str, how: str, texts: Sequence[str]) -> Any:
    """The values of a dimension that fulfill a condition; None for an operator that is not compared."""
    whole = _ALL[dimension]
    try:
        if isinstance(whole, frozenset) and (kind in _NUMERIC or how == "Null"):
            return _numbers(whole, kind, texts) | ({None} & whole if _fits_absent(how, texts) else frozenset())
        if isinstance(whole, Networks) and kind in ("IpAddress", "NotIpAddress"):
            return whole - Networks.of(texts) if "Not" in kind else Networks.of(texts)
        if isinstance(whole, Patterns) and kind in _TEXTS:
            return whole - Patterns.of(texts) if "Not" in kind else Patterns.of(texts)
    except ValueError:
        return None
    return None


def _numbers(whole: frozenset[int | None], kind: str, texts: Sequence[str]) -> frozenset[int | None]:
    """The numbers that fulfill a condition."""
    if kind == "Null":
        return whole - {None} if texts == ["false"] else frozenset()
    limits, test = [float(text) for text in texts], _NUMERIC[kind]
    combine = all if "Not" in kind else any
    return frozenset(one for one in whole if one is not None and combine([test(one, limit) for limit in limits]))


def _compared(area: _Area, denies: Iterable[_Area], usage: Usage, *, by_source: bool) -> Comparison | None:
    """Compare a statement; None where Deny statements leave nothing of it."""
    own = {call: number for call, number in usage.calls.items() if bool(call.endpoint_id) == (area.action == OPEN)}
    used = [call for call in own if _has(area.values, call)]
    left, denials = dict(area.values), []
    for deny in (one for one in denies if one.action == area.action):
        rest = {name: values - deny.values[name] for name, values in left.items()}
        rest |= {name: rest[name].meeting(arn) for name, arn in _ARNS.items() if name in rest}
        if any(rest[name] == values for name, values in left.items()):
            continue
        limited = [name for name, values in rest.items() if values]
        if deny.others:
            denials.append(f"{deny.statement}, which depends on {', '.join(deny.others)}")
        elif len(limited) > 1:
            denials.append(f"{deny.statement}, which denies combinations of {' and '.join(limited)}")
        elif not limited:
            return None
        else:
            left[limited[0]] = rest[limited[0]]
    found = [
        Dimension(name, _shown(name, values), _used(name, used))
        for name, values in left.items()
        if name != "source" or by_source
    ]
    points = {(call.endpoint_id or call.instance_id, call.os_user or str(call.port), call.address) for call in used}
    possible = 1
    for values in zip(*points, strict=True):
        possible *= len(set(values))
    if used and possible > len(points):
        found.append(Dimension("combinations", (str(possible),), (str(len(points)),)))
    calls = sum(own[call] for call in used)
    return Comparison(area.statement, area.action.partition(":")[2], calls, found, area.others, denials)


def _has(values: Mapping[str, Any], call: Call) -> bool:
    """Whether a statement covers a call."""
    return call.source_ip in values["source"] and (
        arn_of(call) in values["endpoint"]
        and call.port in values["port"]
        and call.address in values["address"]
        and call.duration in values["duration"]
        if call.endpoint_id
        else arn_of(call) in values["instance"] and call.os_user in values["OS user"]
    )


def _shown(name: str, values: Any) -> tuple[str, ...]:
    """What a statement allows in a dimension."""
    if name == "duration":
        return (_up_to(max((one for one in values if one), default=0), required=None not in values),)
    if name in ("endpoint", "instance"):
        return _texts(values.texts(_short))
    return _texts(map(str, values) if name == "port" else values.texts())


def _used(name: str, used: Sequence[Call]) -> tuple[str, ...]:
    """What was used in a dimension."""
    if name == "duration":
        return (_used_longest(used),) if used else ()
    if name in ("address", "source"):
        return _folded(call.address if name == "address" else call.source_ip for call in used)
    own: Mapping[str, Callable[[Call], object]] = {
        "endpoint": lambda call: call.endpoint_id,
        "port": lambda call: call.port,
        "instance": lambda call: call.instance_id,
        "OS user": lambda call: call.os_user,
    }
    return _texts(str(own[name](call)) for call in used)


def _used_longest(used: Sequence[Call]) -> str:
    durations = [call.duration for call in used]
    given = [one for one in durations if one is not None]
    return _up_to(MAX_TUNNEL_DURATION if None in durations else max(given), required=None not in durations)


def _up_to(seconds: int, *, required: bool) -> str:
    return f"up to {seconds} s" if required else f"up to {seconds} s, not required"


def _folded(addresses: Iterable[str]) -> tuple[str, ...]:
    known, other = [], []
    for text in addresses:
        try:
            known.append(str(ip_address(text)))
        except ValueError:
            other.append(text)
    return (*(one.network for one in fold([known], 0)[0]), *_texts(other))


def _short(pattern: str) -> str:
    """An ARN without what can be seen from the ID; other patterns as they are."""
    last = pattern.rpartition("/")[2]
    if pattern.count(":") == 5 and last == "*":
        region, account = pattern.split(":")[3:5]
        return f"any in region {region} of account {account}"
    return last if last.startswith(("eice-", "i-")) and "*" not in pattern and "?" not in pattern else pattern


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
