"""Compare what policy statements allow for connecting with what was used. No I/O."""

from __future__ import annotations

import fnmatch
import ipaddress
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from eicctl.core.model import DIRECT_PORTS, MAX_TUNNEL_DURATION
from eicctl.policy.documents import Statement, listed
from eicctl.policy.from_use import Call, Usage, arn_of, fold
from eicctl.policy.lint import (
    ADDRESS,
    DURATION,
    OPEN,
    OS_USER,
    PORT,
    PUSH,
    Keys,
    conditions,
    covers,
    grammar,
)
from eicctl.support.bare import parse_json

SOURCE = "aws:SourceIp"
_ANY = "any"

_NUMERIC: Mapping[str, Callable[[float, float], bool]] = {
    "NumericEquals": operator.eq,
    "NumericNotEquals": operator.ne,
    "NumericLessThan": operator.lt,
    "NumericLessThanEquals": operator.le,
    "NumericGreaterThan": operator.gt,
    "NumericGreaterThanEquals": operator.ge,
}
_COMPARED = {PORT: tuple(_NUMERIC), DURATION: tuple(_NUMERIC), ADDRESS: ("IpAddress",), SOURCE: ("IpAddress",)}
_COMPARED |= {OS_USER: ("StringEquals", "StringLike")}


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
        dimensions: What it allows, and what was used.
        others: Its conditions that are not compared, as `Operator key`; they count as fulfilled.
    """

    statement: str
    action: str
    calls: int
    dimensions: list[Dimension]
    others: list[str]

    @property
    def allows_more(self) -> bool:
        """Whether it allows more than what was used."""
        return any(set(one.today) - set(one.used) for one in self.dimensions)


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


def statements_of(document: Mapping[str, object]) -> list[Statement]:
    """Return the statements of a document that IAM or `read_document` has accepted."""
    return cast("list[Statement]", listed(document.get("Statement", [])))


def compare(policies: Iterable[tuple[str, Mapping[str, object]]], usage: Usage, *, by_source: bool) -> list[Comparison]:
    """Compare the current policies with what was used.

    Args:
        policies: The policies' names and documents. Only Allow statements are compared.
        usage: What was used.
        by_source: Whether to compare the callers' addresses.
    """
    return [
        _compared(f"{name} {one.get('Sid') or f'#{number}'}", one, action, usage, by_source=by_source)
        for name, policy in policies
        for number, one in enumerate(statements_of(policy), 1)
        for action in (OPEN, PUSH)
        if one.get("Effect") == "Allow" and covers(one, action)
    ]


def _compared(name: str, one: Statement, action: str, usage: Usage, *, by_source: bool) -> Comparison:
    keys = {key: values for key, values in conditions(one).items() if _is_compared(key, values)}
    others = [f"{how} {key}" for key, values in conditions(one).items() if key not in keys for how, _ in values]
    own = {call: number for call, number in usage.calls.items() if bool(call.endpoint_id) == (action == OPEN)}
    used = [call for call in own if _allows(one, keys, call)]
    resources = _resources(one)
    if action == OPEN:
        found = [
            Dimension("endpoint", resources, _texts(call.endpoint_id for call in used)),
            Dimension("port", _texts(_ports(keys)), _texts(str(call.port) for call in used)),
            Dimension("address", _ranges(keys, ADDRESS), _folded(call.address for call in used)),
            Dimension("duration", (_longest(keys),), _texts([_used_longest(used)] if used else [])),
        ]
        points = {(call.endpoint_id, str(call.port), call.address) for call in used}
    else:
        found = [
            Dimension("instance", resources, _texts(call.instance_id for call in used)),
            Dimension("OS user", _users(keys), _texts(call.os_user for call in used)),
        ]
        points = {(call.instance_id, call.os_user, "") for call in used}
    possible = 1
    for values in zip(*points, strict=True):
        possible *= len(set(values))
    if used and possible > len(points):
        found.append(Dimension("combinations", (str(possible),), (str(len(points)),)))
    if by_source:
        found.append(Dimension("source", _ranges(keys, SOURCE), _folded(call.source_ip for call in used)))
    return Comparison(name, action.partition(":")[2], sum(own[call] for call in used), found, others)


def _is_compared(key: str, values: Sequence[tuple[str, list[str]]]) -> bool:
    known = next((how for name, how in _COMPARED.items() if name.lower() == key.lower()), ())
    return all(how.removesuffix("IfExists") in known for how, _ in values)


def _values(keys: Keys, wanted: str) -> list[tuple[str, list[str]]]:
    return [one for key, values in keys.items() if key.lower() == wanted.lower() for one in values]


def _allows(one: Statement, keys: Keys, call: Call) -> bool:
    arn = arn_of(call)
    patterns = listed(one.get("Resource", one.get("NotResource", [])))
    if any(_like(arn, str(pattern)) for pattern in patterns) == ("NotResource" in one):
        return False
    if not all(_inside(call.source_ip, ranges) for _, ranges in _values(keys, SOURCE)):
        return False
    if not call.endpoint_id:
        return all(any(_like(call.os_user, value) for value in users) for _, users in _values(keys, OS_USER))
    return (
        str(call.port) in _ports(keys)
        and all(_inside(call.address, ranges) for _, ranges in _values(keys, ADDRESS))
        and all(
            how.endswith("IfExists") if call.duration is None else _fits(call.duration, how, values)
            for how, values in _values(keys, DURATION)
        )
    )


def _fits(number: int, how: str, values: Sequence[str]) -> bool:
    test = _NUMERIC[how.removesuffix("IfExists")]
    try:
        tests = [test(number, float(value)) for value in values]
    except ValueError:
        return False
    return all(tests) if "Not" in how else any(tests)


def _inside(address: str, ranges: Sequence[str]) -> bool:
    try:
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(text, strict=False) for text in ranges)
    except ValueError:
        return False


def _ports(keys: Keys) -> list[str]:
    return [str(port) for port in DIRECT_PORTS if all(_fits(port, how, values) for how, values in _values(keys, PORT))]


def _longest(keys: Keys) -> str:
    limits = _values(keys, DURATION)
    durations = range(MAX_TUNNEL_DURATION, 0, -1)
    longest = next((one for one in durations if all(_fits(one, how, values) for how, values in limits)), 0)
    return _up_to(longest, required=any(not how.endswith("IfExists") for how, _ in limits))


def _used_longest(used: Sequence[Call]) -> str:
    durations = [call.duration for call in used]
    given = [one for one in durations if one is not None]
    return _up_to(MAX_TUNNEL_DURATION if None in durations else max(given), required=None not in durations)


def _up_to(seconds: int, *, required: bool) -> str:
    return f"up to {seconds} s" if required else f"up to {seconds} s, not required"


def _ranges(keys: Keys, key: str) -> tuple[str, ...]:
    """The ranges of a condition, merged as those of the used addresses are; other values as they are."""
    texts = [text for _, texts in _values(keys, key) for text in texts]
    found: list[str] = []
    v4: list[ipaddress.IPv4Network] = []
    v6: list[ipaddress.IPv6Network] = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            found.append(text)
            continue
        if isinstance(network, ipaddress.IPv4Network):
            v4.append(network)
        else:
            v6.append(network)
    found += map(str, (*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6)))
    return _texts(found) or (_ANY,)


def _folded(addresses: Iterable[str]) -> tuple[str, ...]:
    known, other = [], []
    for text in addresses:
        try:
            known.append(str(ipaddress.ip_address(text)))
        except ValueError:
            other.append(text)
    return (*(one.network for one in fold([known], 0)[0]), *_texts(other))


def _users(keys: Keys) -> tuple[str, ...]:
    return _texts(user for _, users in _values(keys, OS_USER) for user in users) or (_ANY,)


def _resources(one: Statement) -> tuple[str, ...]:
    if "NotResource" in one:
        return _texts(f"any but {text}" for text in listed(one["NotResource"]))
    return _texts(_short(str(text)) for text in listed(one.get("Resource", [])))


def _short(pattern: str) -> str:
    """An ARN without what can be seen from the ID; other patterns as they are."""
    if pattern == "*":
        return _ANY
    last = pattern.rpartition("/")[2]
    if pattern.count(":") == 5 and last == "*":
        region, account = pattern.split(":")[3:5]
        return f"any in region {region} of account {account}"
    return last if last.startswith(("eice-", "i-")) and "*" not in pattern and "?" not in pattern else pattern


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _like(value: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))
