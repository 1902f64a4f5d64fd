"""Security groups: does one of their rules allow a connection? (docs/explanation/protocol.md#security-groups)"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from eicctl.core.network import ANY_PORT, GroupReference, NetworkFacts, Rule, SecurityGroup
from eicctl.reachability.connection import (
    Connection,
    Finding,
    TrafficRange,
    client_source,
    endpoint_source,
    first_match,
    listed,
    not_read,
    prefix_length,
    target_source,
    traffic_range,
)
from eicctl.reachability.remedies import Change, group_rule, port_words

ENDPOINT_EGRESS = "endpoint-egress"
TARGET_INGRESS = "target-ingress"

_TCP = ("tcp", "6")
_SHOWN = 3


def covers(rule: Rule, port: int) -> bool:
    """Whether a rule covers a TCP port, for any peer."""
    if rule.protocol == "-1":
        return True
    low, high = rule.ports if rule.ports != (-1, -1) else ANY_PORT
    return rule.protocol in _TCP and low <= port <= high


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end, as a rule sees it: any of these addresses, in these groups of this VPC.

    `group_ids` is None if they are unknown. `label` is for evidence.
    """

    label: str
    ranges: tuple[TrafficRange, ...]
    group_ids: tuple[str, ...] | None = ()
    vpc_id: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether rules allow a peer.

    Attributes:
        allowed_by: The rules as text, the closest first.
        wholly: Whether they allow all addresses that the peer may have.
        by_group: Whether one of them names a group that the peer is in.
        perhaps: Rules, as text, that may allow it, depending on something unknown.
    """

    allowed_by: tuple[str, ...]
    wholly: bool
    by_group: bool
    perhaps: tuple[str, ...]


def judge(
    facts: NetworkFacts, groups: Iterable[SecurityGroup], peer: Peer, port: int, *, egress: bool = False
) -> Judgement:
    """Return whether the rules of some groups allow a TCP port to or from a peer."""
    grants = [
        grant
        for group in groups
        for rule in (group.egress if egress else group.ingress)
        if covers(rule, port)
        for grant in _grants(facts, group, rule, peer, egress=egress)
    ]
    by_group = sorted(words for kind, words in grants if kind == "group")
    perhaps = sorted(words for kind, words in grants if kind == "perhaps")
    by_range = sorted((-prefix_length(kind), kind, words) for kind, words in grants if "/" in kind)
    rules = [(whole, words) for words in by_group for whole in peer.ranges]
    rules += [(traffic_range(cidr), words) for _, cidr, words in by_range]
    pieces = first_match(peer.ranges, rules)
    return Judgement(
        allowed_by=tuple(dict.fromkeys(piece.rule for piece in pieces if piece.rule is not None)),
        wholly=all(piece.rule is not None for piece in pieces),
        by_group=bool(by_group),
        perhaps=tuple(perhaps),
    )


def _grants(
    facts: NetworkFacts, group: SecurityGroup, rule: Rule, peer: Peer, *, egress: bool
) -> Iterator[tuple[str, str]]:
    """Yield what a rule allows, in words, each after the range that it names, or `group` or `perhaps`."""
    head = f"{group.label} allows {_traffic(rule)} {'to' if egress else 'from'}"
    for cidr in rule.cidrs:
        yield cidr, f"{head} {cidr}"
    for reference in rule.groups:
        if peer.group_ids is None:
            yield "perhaps", f"{head} {reference.id}, which may include {peer.label}"
        elif reference.id in peer.group_ids:
            valid = in_force(facts, reference, group.vpc_id, peer.vpc_id)
            if valid is None:
                where = f"{reference.id} of {peer.vpc_id}, a reference that may not be valid across VPCs"
                yield "perhaps", f"{head} {where}"
            elif valid:
                yield "group", f"{head} {reference.id}, which includes {peer.label}"
    for list_id in rule.prefix_list_ids:
        known = (facts.prefix_lists or {}).get(list_id)
        if known is None or known.cidrs is None:
            yield "perhaps", f"{head} prefix list {list_id}, whose entries are unknown"
        else:
            for cidr in known.cidrs:
                yield cidr, f"{head} {cidr} of prefix list {list_id}"


def in_force(facts: NetworkFacts, reference: GroupReference, vpc_id: str, peer_vpc: str) -> bool | None:
    """Whether a rule of a group in `vpc_id` may name a group of `peer_vpc`; None if that is not known.

    It may in one VPC, and across a peering connection in one region. Other connections have conditions of their own.
    """
    if vpc_id == peer_vpc or not vpc_id or not peer_vpc:
        return True
    if reference.peering_status not in ("", "active"):
        return False
    if facts.peerings is None:
        return None
    between = [p for p in facts.peerings.values() if set(p.vpc_ids) == {vpc_id, peer_vpc}]
    if between:
        return any(p.status == "active" and p.same_region for p in between)
    return None


@dataclass(frozen=True, slots=True)
class _Question:
    """Do these groups (None: unknown) allow TCP to or from a peer? `cidr` is the range that names it in a rule."""

    check: str
    group_ids: tuple[str, ...] | None
    whose: str
    peer: Peer
    port: int
    egress: bool
    cidr: str


def endpoint_egress(facts: NetworkFacts, connection: Connection) -> Finding:
    """Do the endpoint's groups allow the connection out?"""
    endpoint, target = connection.endpoint, connection.target
    source = target_source(connection)
    named = target.label if target.label == target.address else f"{target.label} ({target.address})"
    peer = Peer(named, source.ranges, target.security_group_ids, target.vpc_id)
    groups = endpoint.security_group_ids or None
    return _finding(facts, _Question(ENDPOINT_EGRESS, groups, "the endpoint", peer, connection.port, True, source.cidr))


def target_ingress(facts: NetworkFacts, connection: Connection) -> Finding:
    """Do the target's groups allow the connection in?

    They see the endpoint's address, or with client IP preservation the client's; its membership in the endpoint's
    groups counts in both modes.
    """
    endpoint, target = connection.endpoint, connection.target
    if target.security_group_ids == ():
        return Finding(TARGET_INGRESS, "ok", f"{target.label} has no security group")
    here = endpoint_source(facts, connection)
    source = client_source(connection) if endpoint.preserve_client_ip else here
    peer = Peer(source.label, source.ranges, endpoint.security_group_ids, endpoint.vpc_id)
    return _finding(
        facts,
        _Question(TARGET_INGRESS, target.security_group_ids, target.label, peer, connection.port, False, source.cidr),
    )


def _finding(facts: NetworkFacts, asked: _Question) -> Finding:
    check, peer = asked.check, asked.peer
    if facts.groups is None or asked.group_ids is None:
        what = f"the security groups of {asked.whose}"
        return Finding(check, "unknown", not_read(facts, "DescribeSecurityGroups", what))
    known = [group for group_id in asked.group_ids if (group := facts.groups.get(group_id))]
    missing = [f"{group_id} is unknown here" for group_id in asked.group_ids if group_id not in facts.groups]
    judgement = judge(facts, known, peer, asked.port, egress=asked.egress)
    if judgement.wholly:
        return Finding(check, "ok", listed(judgement.allowed_by))
    change = _change(facts, known, asked)
    if judgement.allowed_by:
        evidence = f"{listed(judgement.allowed_by)}, which covers only a part of {peer.label}"
        return Finding(check, "unknown", evidence, change)
    if perhaps := [*judgement.perhaps, *missing]:
        return Finding(check, "unknown", listed(perhaps[:_SHOWN]), change)
    return Finding(check, "failed", _refusal(known, asked), change)


def _change(facts: NetworkFacts, groups: Sequence[SecurityGroup], asked: _Question) -> Change | None:
    """The one rule that allows the peer: by its group if a rule may name it, else by its address."""
    if not groups:
        return None
    group = groups[0]
    for group_id in asked.peer.group_ids or ():
        if in_force(facts, GroupReference(group_id), group.vpc_id, asked.peer.vpc_id):
            return group_rule(group.id, egress=asked.egress, port=asked.port, peer_group_id=group_id)
    return group_rule(group.id, egress=asked.egress, port=asked.port, cidr=asked.cidr) if asked.cidr else None


def _refusal(groups: Sequence[SecurityGroup], asked: _Question) -> str:
    names, egress = listed([group.label for group in groups]), asked.egress
    who, port = asked.peer.label, port_words((asked.port, asked.port))
    verb, direction = "has" if len(groups) == 1 else "have", "outbound" if egress else "inbound"
    what = f"{names} {verb} no {direction} rule for TCP {port} {'to' if egress else 'from'}"
    if ids := asked.peer.group_ids:
        who += f" or {' or '.join(ids)}"
    there = list(dict.fromkeys(words for group in groups for words in _existing_rules(group, egress=egress)))
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"{what} {who} (existing: {', '.join(there[:_SHOWN]) or 'none'}{more})"


def _existing_rules(group: SecurityGroup, *, egress: bool) -> Iterator[str]:
    for rule in group.egress if egress else group.ingress:
        yield f"{_traffic(rule)} {'to' if egress else 'from'} {listed(peers_of(rule))}"


def peers_of(rule: Rule) -> tuple[str, ...]:
    """The peers that a rule names: ranges, and the IDs of groups and prefix lists."""
    return (*rule.cidrs, *(reference.id for reference in rule.groups), *rule.prefix_list_ids)


def _traffic(rule: Rule) -> str:
    if rule.protocol == "-1":
        return "all traffic"
    if rule.protocol in _TCP or rule.protocol in ("udp", "17"):
        return f"{'TCP' if rule.protocol in _TCP else 'UDP'} {port_words(rule.ports)}"
    return {"icmp": "ICMP", "1": "ICMP", "icmpv6": "ICMPv6", "58": "ICMPv6"}.get(rule.protocol, f"IP {rule.protocol}")
