"""Network ACLs: the four times that a connection crosses the edge of a subnet, there and back.

ACLs are stateless: return traffic, to a port that the endpoint has chosen, needs an entry of its own. An ACL applies at
the edge of a subnet, so not if both ends are in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from eicctl.core.network import ANY_PORT, AclEntry, NetworkAcl, NetworkFacts
from eicctl.reachability.connection import (
    Connection,
    Finding,
    Piece,
    Source,
    TrafficRange,
    client_source,
    endpoint_source,
    first_match,
    listed,
    not_read,
    of_verdicts,
    target_source,
    traffic_range,
)
from eicctl.reachability.remedies import Change, acl_entry, port_words

ENDPOINT_ACL_OUT = "endpoint-acl-out"
TARGET_ACL_IN = "target-acl-in"
TARGET_ACL_OUT = "target-acl-out"
ENDPOINT_ACL_IN = "endpoint-acl-in"

EPHEMERAL = (1024, 65_535)
"""The ports that the endpoint may connect from. AWS documents no narrower range for it."""

_TCP = ("6", "tcp", "-1")
_LAST = 32_766


@dataclass(frozen=True, slots=True)
class _Crossing:
    """One crossing of a subnet's edge: whose subnet, in which direction, and what its ACL sees of the other side."""

    check: str
    whose: str
    subnet_id: str
    egress: bool
    ports: tuple[int, int]
    sources: Sequence[Source]


def check_acls(facts: NetworkFacts, connection: Connection) -> list[Finding]:
    """Return the findings of the four crossings, in the order in which a connection makes them."""
    endpoint, target = connection.endpoint, connection.target
    # With client IP preservation, AWS does not say whether the target's ACL sees the client or the endpoint.
    near = [endpoint_source(facts, connection)]
    if endpoint.preserve_client_ip:
        near.insert(0, client_source(connection))
    far, ports = [target_source(connection)], (connection.port, connection.port)
    crossings = (
        _Crossing(ENDPOINT_ACL_OUT, "the endpoint's", endpoint.subnet_id, True, ports, far),
        _Crossing(TARGET_ACL_IN, "the target's", target.subnet_id, False, ports, near),
        _Crossing(TARGET_ACL_OUT, "the target's", target.subnet_id, True, EPHEMERAL, near),
        _Crossing(ENDPOINT_ACL_IN, "the endpoint's", endpoint.subnet_id, False, EPHEMERAL, far),
    )
    if endpoint.subnet_id and endpoint.subnet_id == target.subnet_id:
        evidence = f"same subnet ({target.subnet_id}): network ACLs don't apply"
        return [Finding(crossing.check, "ok", evidence) for crossing in crossings]
    return [_crossed(facts, crossing) for crossing in crossings]


def _crossed(facts: NetworkFacts, crossing: _Crossing) -> Finding:
    acl = facts.acl_of(crossing.subnet_id) if crossing.subnet_id else None
    if acl is None:
        what = f"the network ACL of {crossing.whose} subnet"
        return Finding(crossing.check, "unknown", not_read(facts, "DescribeNetworkAcls", what))
    found = [_finding(acl, crossing, source) for source in crossing.sources]
    verdicts = {finding.verdict for finding in found}
    worst = next(finding for finding in found if finding.verdict == of_verdicts(verdicts))
    if len(verdicts) == 1:
        return worst
    sources = listed([source.label for source in crossing.sources])
    evidence = f"{worst.evidence}; with client IP preservation the source is one of {sources}"
    return replace(worst, verdict="unknown", evidence=evidence)


def _finding(acl: NetworkAcl, crossing: _Crossing, source: Source) -> Finding:
    pieces = first_match(source.at(crossing.ports), _entries(acl, crossing.egress))
    denied = [piece for piece in pieces if piece.rule is None or not piece.rule.allow]
    if not denied:
        return Finding(crossing.check, "ok", _evidence(acl, crossing, source, ("allows", "allow"), pieces))
    evidence = _evidence(acl, crossing, source, ("denies", "deny"), denied)
    change = _allow(acl, crossing, source, denied)
    if len(denied) == len(pieces):
        return Finding(crossing.check, "failed", evidence, change)
    ports = sorted({piece.part.ports for piece in denied} - {crossing.ports})
    part = f"ports {listed([port_words(each) for each in ports[:3]])}" if ports else "some of the addresses"
    return Finding(crossing.check, "unknown", f"{evidence}, but only {part}", change)


def _entries(acl: NetworkAcl, egress: bool) -> list[tuple[TrafficRange, AclEntry]]:
    return [
        (traffic_range(entry.cidr, entry.ports if entry.protocol != "-1" else ANY_PORT), entry)
        for entry in sorted(acl.entries, key=lambda entry: entry.number)
        if entry.egress == egress and entry.protocol in _TCP
    ]


def _names(entries: Sequence[AclEntry | None]) -> str:
    numbers = sorted({entry.number for entry in entries if entry})
    names = [f"entry {number}" for number in numbers if number <= _LAST]
    if any(entry is None or entry.number > _LAST for entry in entries):
        names.append("the default entry *")
    return listed(names)


def _evidence(
    acl: NetworkAcl, crossing: _Crossing, source: Source, verbs: tuple[str, str], pieces: Sequence[Piece[AclEntry]]
) -> str:
    rules = [piece.rule for piece in pieces]
    direction, peer = ("outbound", "to") if crossing.egress else ("inbound", "from")
    back = " (return traffic)" if crossing.ports == EPHEMERAL else ""
    traffic = f"{direction} TCP {port_words(crossing.ports)} {peer} {source.label}{back}"
    return f"{_names(rules)} of {acl.id} {verbs[len(set(rules)) > 1]} {traffic}"


def _allow(acl: NetworkAcl, crossing: _Crossing, source: Source, denied: Sequence[Piece[AclEntry]]) -> Change | None:
    """The entry that comes before all that deny; None if all lower numbers are taken."""
    taken = {entry.number for entry in acl.entries if entry.egress == crossing.egress}
    before = min([_LAST + 1, *(piece.rule.number for piece in denied if piece.rule)])
    last = max((number for number in taken if number < before), default=0)
    # A little after the last one that comes before, as people number them; else any that is free.
    candidates = chain((last + step for step in (100, 10, 1)), range(before - 1, 0, -1))
    number = next((number for number in candidates if number < before and number not in taken), None)
    if number is None or not source.cidr:
        return None
    return acl_entry(acl.id, number, egress=crossing.egress, cidr=source.cidr, ports=crossing.ports)
