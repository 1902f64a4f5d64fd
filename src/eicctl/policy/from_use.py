"""Derive the least-privilege policy for connecting that allows what was recorded. No I/O.

A statement allows every combination of its values. So calls share a statement only if all combinations of their
endpoints, ports, addresses and sources were used, with the same maximum duration.
"""

from __future__ import annotations

import ipaddress
import json
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from eicctl.core.model import DIRECT_PORTS
from eicctl.core.names import counted
from eicctl.policy.documents import (
    OS_USER_NAME,
    Document,
    Scope,
    Statement,
    find_statement,
    is_public,
    key_statements,
    limited,
    numbered,
    tunnel_statement,
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Box = tuple[frozenset[str], ...]
"""Values of several dimensions, for all their combinations."""

MANAGED_POLICY_SIZE = 6_144
"""Characters of a managed policy without white space (docs/explanation/protocol.md#iam)."""

_USER = re.compile(r"arn:[\w-]+:iam::\d{12}:user/[\w+=,.@/-]+")
_ROLE = re.compile(r"arn:([\w-]+):(?:sts|iam)::(\d{12}):(?:assumed-role|role)/([\w+=,.@-]+)(?:/(.+))?")
_REGION = re.compile(r"[a-z]{2}[a-z0-9-]+")
_ENDPOINT = re.compile(r"eice-[0-9a-f]{8,17}")
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")


@dataclass(frozen=True, slots=True)
class Call:
    """A recorded call that succeeded: OpenTunnel (`endpoint_id`, …) or SendSSHPublicKey (`instance_id`, …).

    Attributes:
        caller: The caller's ARN.
        region: The region.
        source_ip: The caller's address, as AWS saw it.
        endpoint_id: The endpoint; empty for a pushed key.
        address: Where the tunnel went.
        port: Its remote port; None if the record has none.
        duration: The maximum duration that was requested, in seconds; None if none was.
        instance_id: The instance that a key was pushed to.
        os_user: The OS user that it was for.
    """

    caller: str
    region: str
    source_ip: str = ""
    endpoint_id: str = ""
    address: str = ""
    port: int | None = None
    duration: int | None = None
    instance_id: str = ""
    os_user: str = ""


@dataclass(slots=True)
class Usage:
    """What a user or a role did.

    Attributes:
        owner: The ARN of the user or the role; that of a role lacks its path, which no record of a session has.
        sessions: The names of the role's sessions.
        calls: The distinct calls, each with its number; without the session.
        own_keys: SSH tunnels without a pushed key.
    """

    owner: str
    sessions: set[str] = field(default_factory=set)
    calls: Counter[Call] = field(default_factory=Counter)
    own_keys: int = 0

    @property
    def name(self) -> str:
        """`user ann` or `role dev`."""
        kind, _, name = self.owner.rpartition(":")[2].partition("/")
        return f"{kind} {name}"

    @property
    def tunnels(self) -> int:
        """The number of tunnels."""
        return sum(number for call, number in self.calls.items() if call.endpoint_id)

    @property
    def keys(self) -> int:
        """The number of pushed keys."""
        return self.calls.total() - self.tunnels


def arn_of(call: Call) -> str:
    """Return the ARN of the endpoint, or of the instance that a key was pushed to."""
    _, partition, _, _, account, _ = call.caller.split(":", 5)
    resource = f"instance-connect-endpoint/{call.endpoint_id}" if call.endpoint_id else f"instance/{call.instance_id}"
    return f"arn:{partition}:ec2:{call.region}:{account}:{resource}"


def owner_of(caller: str) -> tuple[str, str] | None:
    """Return the user or role whose policies a caller has, and the session; None for others, such as the root user."""
    if _USER.fullmatch(caller):
        return caller, ""
    if role := _ROLE.fullmatch(caller):
        return f"arn:{role[1]}:iam::{role[2]}:role/{role[3]}", role[4] or ""
    return None


def usage_of(calls: Iterable[Call]) -> tuple[dict[str, Usage], Counter[str]]:
    """Return what each user and role did, by ARN, and the callers that are neither, with the numbers of their calls."""
    found: dict[str, Usage] = {}
    others: Counter[str] = Counter()
    for call in calls:
        if owner := owner_of(call.caller):
            usage = found.setdefault(owner[0], Usage(owner[0]))
            usage.sessions |= {owner[1]} - {""}
            usage.calls[replace(call, caller=owner[0])] += 1
        else:
            others[call.caller or "unknown"] += 1
    return dict(sorted(found.items())), others


@dataclass(frozen=True, slots=True)
class Bounds:
    """How a policy generalizes what was used.

    Attributes:
        max_unused: How many addresses all ranges together, and how many instances all tags together, may cover that
            were not used.
        by_source: Whether calls are limited to the addresses from which they came.
        tag: The key of a tag by which instances may be identified; empty for none.
        tags: The values of this tag, by region and instance ID, of all instances of these regions.
    """

    max_unused: int = 0
    by_source: bool = False
    tag: str = ""
    tags: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Derived:
    """A policy, or None if nothing that was used can be allowed, and what it leaves out or cannot limit."""

    policy: Document | None
    notes: list[str]


def derive(usage: Usage, bounds: Bounds) -> Derived:
    """Return the least-privilege policy for what a user or role did, within the bounds."""
    calls, notes = _expressible(usage, by_source=bounds.by_source)
    tunnels = _tunnels([call for call in calls if call.endpoint_id], bounds, notes)
    keys = _keys([call for call in calls if not call.endpoint_id], bounds, notes)
    if not tunnels and not keys:
        return Derived(None, notes)
    find = limited([find_statement(keys=bool(keys))], _folded({call.source_ip for call in calls}, bounds))
    policy: Document = {"Version": "2012-10-17", "Statement": numbered([*tunnels, *keys, *find])}
    return Derived(policy, [*notes, *_unrecorded(usage, calls, policy, bounds)])


def _expressible(usage: Usage, *, by_source: bool) -> tuple[list[Call], list[str]]:
    """The calls that conditions can express, and notes on the others."""
    kept: set[Call] = set()
    omitted: dict[str, Counter[str]] = defaultdict(Counter)
    for call, number in usage.calls.items():
        problem, value = _problem(call, by_source=by_source)
        if problem:
            omitted[problem][value or "none"] += number
        else:
            kept.add(call if by_source else replace(call, source_ip=""))
    return sorted(kept, key=repr), [
        f"omitted calls: {values.total()} to {problem}: {_some(sorted(values))}"
        for problem, values in sorted(omitted.items())
    ]


def _problem(call: Call, *, by_source: bool) -> tuple[str, str]:
    """Why no policy can allow a call and nothing else, and the value at fault; empty texts where one can."""
    found = ("", "")
    if not _REGION.fullmatch(call.region):
        found = "invalid regions", call.region
    elif call.endpoint_id and not _ENDPOINT.fullmatch(call.endpoint_id):
        found = "invalid endpoint IDs", call.endpoint_id
    elif call.endpoint_id and call.port not in DIRECT_PORTS:
        found = "ports that endpoints do not support", str(call.port or "")
    elif call.endpoint_id and not _address(call.address):
        found = "DNS names (policies limit only addresses)", call.address
    elif not call.endpoint_id and not _INSTANCE.fullmatch(call.instance_id):
        found = "invalid instance IDs", call.instance_id
    elif not call.endpoint_id and not OS_USER_NAME.fullmatch(call.os_user):
        found = "invalid OS users", call.os_user
    elif by_source and not ((source := _address(call.source_ip)) and is_public(ipaddress.ip_network(source))):
        found = "targets from sources that aws:SourceIp never has", call.source_ip
    return found


def _address(text: str) -> Address | None:
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _merged(boxes: Iterable[Box], *dimensions: int) -> list[Box]:
    """Merge boxes that differ in one dimension only, one dimension after the other; they cover the same points."""
    found = list(boxes)
    for at in dimensions:
        groups: dict[Box, set[str]] = defaultdict(set)
        for box in found:
            groups[box[:at] + box[at + 1 :]] |= box[at]
        found = [(*rest[:at], frozenset(values), *rest[at:]) for rest, values in groups.items()]
    return sorted(found, key=lambda box: [sorted(values) for values in box])


def _tunnels(calls: Iterable[Call], bounds: Bounds, notes: list[str]) -> list[Statement]:
    limits: dict[tuple[str, str, str, str], int | None] = {}
    for call in calls:
        point = (arn_of(call), str(call.port), str(_address(call.address)), call.source_ip)
        longest = limits.get(point, 0)
        limits[point] = None if longest is None or call.duration is None else max(longest, call.duration)
    boxes = _merged((_box(f"{limit or '':>4}", *point) for point, limit in limits.items()), 3, 4, 1, 2)
    found: list[Statement] = []
    folded: list[Range] = []
    for box, ranges in zip(boxes, fold([box[3] for box in boxes], bounds.max_unused), strict=True):
        limit, endpoints, ports, _, sources = (sorted(values) for values in box)
        scope = Scope(
            "connect",
            endpoints=tuple(endpoints),
            ports=tuple(map(int, ports)),
            cidrs=tuple(one.network for one in ranges),
            max_duration=int(limit[0]) if limit[0].strip() else None,
        )
        found += limited([tunnel_statement(scope)], _folded(sources, bounds))
        folded += [one for one in ranges if one.unused]
    if folded:
        folded.sort(key=lambda one: -one.unused)
        total = counted(sum(one.unused for one in folded), "unused address", "unused addresses")
        notes.append(f"ranges cover {total}: {_some([f'{one.network} ({one.unused})' for one in folded])}")
    return found


def _keys(calls: Iterable[Call], bounds: Bounds, notes: list[str]) -> list[Statement]:
    points = ((call.region, arn_of(call), call.os_user, call.source_ip) for call in calls)
    found = []
    left = bounds.max_unused
    for region, arns, users, sources in _merged((_box(*point) for point in points), 1, 2, 3):
        by_id, values, left = _by_tag("".join(region), arns, bounds, left, notes)
        scopes = [Scope("connect", instances=tuple(sorted(by_id)), os_users=tuple(sorted(users)))] if by_id else []
        if values:
            _, partition, _, _, account, _ = min(arns - by_id).split(":", 5)
            place = Scope("connect", partition=partition, region="".join(region), account=account)
            scopes.append(replace(place, instance_tags={bounds.tag: values}, os_users=tuple(sorted(users))))
        for scope in scopes:
            found += limited(key_statements(scope), _folded(sources, bounds))
    return found


def _by_tag(
    region: str, arns: frozenset[str], bounds: Bounds, left: int, notes: list[str]
) -> tuple[frozenset[str], list[str], int]:
    """The instances that need their IDs, the values of the tag that stand for the others, and what is left of the
    bound."""
    groups: dict[str, set[str]] = defaultdict(set)
    for arn in arns:
        if value := bounds.tags.get((region, arn.rpartition("/")[2]), ""):
            groups[value].add(arn)
    sizes = Counter(value for (other, _), value in bounds.tags.items() if other == region)
    found: list[str] = []
    for value, used in sorted(groups.items(), key=lambda item: (sizes[item[0]] - len(item[1]), item[0])):
        unused = sizes[value] - len(used)
        if unused <= left and "${" not in value:  # IAM would take it for a variable
            found.append(value)
            left -= unused
            arns -= used
            notes += [f"tag {bounds.tag}={value} covers {counted(unused, 'unused instance')}"] if unused else []
    return arns, sorted(found), left


def _box(*values: str) -> Box:
    return tuple(frozenset([value]) for value in values)


def _folded(sources: Iterable[str], bounds: Bounds) -> tuple[str, ...]:
    """The ranges of sources, which cover no other address; none where sources do not matter."""
    return tuple(one.network for one in fold([sources], 0)[0]) if bounds.by_source else ()


def _some(values: Sequence[str], most: int = 3) -> str:
    shown = [value[:80] for value in values[:most]]  # those of log files may be of any length
    return ", ".join([*shown, *([f"… ({len(values) - most} more)"] if len(values) > most else [])])


def _unrecorded(usage: Usage, calls: Sequence[Call], policy: Document, bounds: Bounds) -> list[str]:
    """What the records cannot show, and what follows from it."""
    notes = []
    if usage.own_keys:
        notes.append(
            f"SSH tunnels without a pushed key: {usage.own_keys}. CloudTrail does not record the OS users of logins "
            "with their own keys, and no policy limits them"
        )
    if any(call.endpoint_id and call.duration is None for call in calls):
        notes.append(
            "some tunnels requested no maximum duration, so the policy has none for their targets: with one, it would "
            "deny them"
        )
    reads = "ec2:Describe… and ec2:GetConsoleOutput" if any(not call.endpoint_id for call in calls) else "ec2:Describe…"
    notes.append(f"{reads} are allowed because clients need them; whether they were used is not checked")
    if bounds.by_source:
        notes.append("source addresses are those that AWS saw: users behind a NAT, VPN or proxy share one")
    size = len("".join(json.dumps(policy, separators=(",", ":")).split()))
    if size > MANAGED_POLICY_SIZE:
        notes.append(
            f"the policy has {size:,} characters, but IAM accepts {MANAGED_POLICY_SIZE:,} in a managed policy: fold "
            "addresses into larger ranges with --max-unused"
        )
    return notes


@dataclass(frozen=True, slots=True)
class Range:
    """A network in CIDR notation, and how many of its addresses were not used."""

    network: str
    unused: int = 0


def fold(groups: Sequence[Iterable[str]], max_unused: int) -> list[list[Range]]:
    """Return ranges that cover the addresses of each group.

    Ranges become larger, those with the fewest unused addresses first, as long as the unused addresses of all ranges
    of all groups are no more than `max_unused`.

    Args:
        groups: IPv4 and IPv6 addresses. An address of one group counts as unused in another group.
        max_unused: The bound; with 0, each range covers used addresses only.
    """
    spaces: list[tuple[int, type[Address], list[int]]] = []
    for number, texts in enumerate(groups):
        addresses = set(map(ipaddress.ip_address, texts))
        for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
            spaces.append((number, kind, sorted(int(one) for one in addresses if isinstance(one, kind))))
    chosen = [[(value, value, 0) for value in values] for _, _, values in spaces]
    left = max_unused
    # A larger range has at least the unused addresses of those inside, so that it comes after them.
    for unused, bits, at, low in sorted(set(_candidates([values for _, _, values in spaces], max_unused))):
        high = low + (1 << bits) - 1
        ranges = chosen[at]
        inside = slice(bisect_left(ranges, (low,)), bisect_left(ranges, (high + 1,)))
        more = unused - sum(one[2] for one in ranges[inside])
        if more <= left:
            left -= more
            ranges[inside] = [(low, high, unused)]
    found: list[list[Range]] = [[] for _ in groups]
    for (number, kind, _), ranges in zip(spaces, chosen, strict=True):
        for low, high, unused in ranges:
            length = kind(0).max_prefixlen - (high - low).bit_length()
            found[number].append(Range(f"{kind(low)}/{length}", unused))
    return found


def _candidates(spaces: Sequence[list[int]], max_unused: int) -> Iterator[tuple[int, int, int, int]]:
    """The smallest networks with any two neighbors: unused addresses, bits of the host part, space, first address."""
    for at, values in enumerate(spaces):
        for first, second in pairwise(values):
            bits = (first ^ second).bit_length()
            low = first >> bits << bits
            used = bisect_left(values, low + (1 << bits)) - bisect_left(values, low)
            if (unused := (1 << bits) - used) <= max_unused:
                yield unused, bits, at, low
