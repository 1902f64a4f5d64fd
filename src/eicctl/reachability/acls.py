"""Network ACLs: the four times that a connection crosses the edge of a subnet, there and back.

ACLs keep no state: what comes back, to a port that the endpoint has chosen, needs an entry of its own. An ACL guards
the edge of a subnet, so it does not apply where both ends are in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from eicctl.core.network import ANY_PORT, AclEntry, NetworkAcl, NetworkFacts
from eicctl.reachability.connection import (
    Connection,
    Finding,
    Piece,
    Source,
    TrafficRange,
    Verdict,
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
    """One crossing of a subnet's edge: which ACL, which way, and what its entries see of the other side."""

    check: str
    subnet_id: str
    whose: str
    egress: bool
    ports: tuple[int, int]


def check_acls(facts: NetworkFacts, connection: Connection) -> list[Finding]:
    """Return the findings of the four crossings, in the order in which a connection makes them."""
    endpoint, target = connection.endpoint, connection.target
    there = (connection.port, connection.port)
    crossings = (
        (_Crossing(ENDPOINT_ACL_OUT, endpoint.subnet_id, "the endpoint's", True, there), [target_source(connection)]),
        (_Crossing(TARGET_ACL_IN, target.subnet_id, "the target's", False, there), _seen(facts, connection)),
        (_Crossing(TARGET_ACL_OUT, target.subnet_id, "the target's", True, EPHEMERAL), _seen(facts, connection)),
        (
            _Crossing(ENDPOINT_ACL_IN, endpoint.subnet_id, "the endpoint's", False, EPHEMERAL),
            [target_source(connection)],
        ),
    )
    if endpoint.subnet_id and endpoint.subnet_id == target.subnet_id:
        evidence = f"same subnet ({target.subnet_id}): network ACLs don't apply"
        return [Finding(crossing.check, "ok", evidence) for crossing, _ in crossings]
    return [_crossed(facts, crossing, sources) for crossing, sources in crossings]


def _seen(facts: NetworkFacts, connection: Connection) -> list[Source]:
    """Whom the target's ACL sees. With client IP preservation AWS does not say whether client or endpoint."""
    here = endpoint_source(facts, connection)
    return [client_source(connection), here] if connection.endpoint.preserve_client_ip else [here]


def _crossed(facts: NetworkFacts, crossing: _Crossing, sources: Sequence[Source]) -> Finding:
    acl = facts.acl_of(crossing.subnet_id) if crossing.subnet_id else None
    if acl is None:
        what = f"the network ACL of {crossing.whose} subnet"
        return Finding(crossing.check, "unknown", not_read(facts, "DescribeNetworkAcls", what))
    answers = [_asked_of(acl, crossing, source) for source in sources]
    verdicts = {verdict for verdict, _, _ in answers}
    verdict = answers[0][0] if len(verdicts) == 1 else "unknown"
    worst = of_verdicts(verdicts)
    _, evidence, change = next(answer for answer in answers if answer[0] == worst)
    if len(verdicts) > 1:
        evidence += f"; with client IP preservation the source is one of {listed([source.label for source in sources])}"
    return Finding(crossing.check, verdict, evidence, change)


def _asked_of(acl: NetworkAcl, crossing: _Crossing, source: Source) -> tuple[Verdict, str, Change | None]:
    pieces = first_match(source.at(crossing.ports), _entries(acl, crossing.egress))
    denied = [piece for piece in pieces if piece.rule is None or not piece.rule.allow]
    if not denied:
        deciding = _names([piece.rule for piece in pieces])
        return "ok", f"{deciding} of {acl.id} {_lets(crossing, source, 'allows', 'allow', pieces)}", None
    change = _allow(acl, crossing, source, denied)
    told = f"{_names([piece.rule for piece in denied])} of {acl.id} {_lets(crossing, source, 'denies', 'deny', denied)}"
    if len(denied) == len(pieces):
        return "failed", told, change
    return "unknown", f"{told}, but only {_part(crossing, denied)}", change


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


def _lets(crossing: _Crossing, source: Source, one: str, several: str, pieces: Sequence[Piece[AclEntry]]) -> str:
    verb = one if len({piece.rule for piece in pieces}) == 1 else several
    way, peer = ("outbound", "to") if crossing.egress else ("inbound", "from")
    back = " (return traffic)" if crossing.ports == EPHEMERAL else ""
    return f"{verb} {way} TCP {port_words(crossing.ports)} {peer} {source.label}{back}"


def _part(crossing: _Crossing, denied: Sequence[Piece[AclEntry]]) -> str:
    ports = sorted({piece.part.ports for piece in denied} - {crossing.ports})
    return f"ports {listed([port_words(each) for each in ports[:3]])}" if ports else "some of the addresses"


def _allow(acl: NetworkAcl, crossing: _Crossing, source: Source, denied: Sequence[Piece[AclEntry]]) -> Change | None:
    """The entry that comes before all that deny; None where there is no number left for it."""
    taken = {entry.number for entry in acl.entries if entry.egress == crossing.egress}
    before = min((piece.rule.number for piece in denied if piece.rule), default=_LAST + 1)
    before = min(before, _LAST + 1)
    used = [number for number in taken if number < before]
    # A little after the last one that comes before, as people number them; else any that is free.
    wanted = chain((max(used, default=0) + step for step in (100, 10, 1)), range(before - 1, 0, -1))
    number = next((number for number in wanted if number < before and number not in taken), None)
    if number is None or not source.cidr:
        return None
    return acl_entry(acl.id, number, egress=crossing.egress, cidr=source.cidr, ports=crossing.ports)
