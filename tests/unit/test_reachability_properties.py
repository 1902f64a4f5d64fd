"""What must hold of the evaluation for any network."""

from __future__ import annotations

import ipaddress
import random
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eicctl.core.model import Endpoint
from eicctl.core.network import AclEntry, GroupReference, NetworkFacts, Peering, PrefixList, Route, RouteTable, Rule
from eicctl.reachability.connection import Destination, TrafficRange, first_match, traffic_range
from eicctl.reachability.remedies import change_command
from tests.network import ENDPOINT, FACTS, FAR, TARGET, applied, findings, with_acl, with_group

RANK = {"failed": 0, "unknown": 1, "ok": 2}
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FOUR = ["0.0.0.0/0", "10.0.0.0/8", "10.0.1.0/24", "10.0.1.0/25", "10.0.1.5/32", "10.0.2.0/24", "10.2.0.0/16"]
OTHER = ["198.51.100.0/24", "192.168.0.0/16", "::/0", "fd00::/56", "fd00:0:0:1::/64", "fd00:0:0:2::7/128"]
CIDRS = st.sampled_from(FOUR + OTHER)
PORTS = st.sampled_from([(22, 22), (0, 65535), (1024, 65535), (20, 30), (3389, 3389), (1024, 40000), (30000, 65535)])
GROUPS = st.sampled_from(["sg-eice", "sg-target", "sg-far", "sg-other"]).map(GroupReference)

RULES = st.builds(
    Rule,
    protocol=st.sampled_from(["tcp", "6", "udp", "icmp", "-1"]),
    ports=PORTS,
    cidrs=st.lists(CIDRS, max_size=3).map(tuple),
    groups=st.lists(GROUPS, max_size=1).map(tuple),
    prefix_list_ids=st.lists(st.sampled_from(["pl-1", "pl-dark"]), max_size=1).map(tuple),
)
RULE_LISTS = st.lists(RULES, max_size=2).map(tuple)
ENTRIES = st.lists(
    st.builds(
        AclEntry,
        number=st.integers(1, 300),
        egress=st.booleans(),
        allow=st.booleans(),
        protocol=st.sampled_from(["6", "17", "1", "-1"]),
        cidr=CIDRS,
        ports=PORTS,
    ),
    max_size=3,
    unique_by=lambda entry: (entry.egress, entry.number),
).map(tuple)
ROUTES = st.lists(
    st.builds(
        Route,
        st.sampled_from(["10.2.0.0/16", "10.2.1.0/24", "10.0.0.0/8", "10.0.1.0/24", "0.0.0.0/0"]),
        st.just("peering"),
        st.sampled_from(["pcx-1", "pcx-9"]),
        st.booleans(),
    ),
    max_size=2,
    unique_by=lambda route: route.destination,
).map(tuple)

ENDPOINTS = st.builds(
    lambda kind, keep: replace(ENDPOINT, ip_address_type=kind, preserve_client_ip=keep),
    st.sampled_from(["ipv4", "dualstack", "ipv6"]),
    st.booleans(),
)
TARGETS = st.sampled_from(
    [
        TARGET,
        FAR,
        replace(TARGET, address="fd00:0:0:2::7"),
        replace(TARGET, instance_type="m3.large"),
        replace(TARGET, security_group_ids=None),
    ]
)
CLIENTS = st.sampled_from([None, "198.51.100.7"])


@st.composite
def networks(draw: st.DrawFn) -> NetworkFacts:
    facts = replace(
        FACTS, prefix_lists={"pl-1": PrefixList("pl-1", cidrs=("10.0.0.0/16",)), "pl-dark": PrefixList("pl-dark")}
    )
    facts = with_group(facts, "sg-eice", egress=draw(RULE_LISTS))
    for group in ("sg-target", "sg-far"):
        facts = with_group(facts, group, ingress=draw(RULE_LISTS))
    for acl in ("acl-eice", "acl-target", "acl-far"):
        facts = with_acl(facts, acl, *draw(ENTRIES))
    if draw(st.booleans()):
        facts = replace(facts, interfaces={})
    tables = {
        name: RouteTable(name, vpc, main=True, routes=(Route(own), *draw(ROUTES)))
        for name, vpc, own in (("rtb-1", "vpc-1", "10.0.0.0/16"), ("rtb-2", "vpc-2", "10.2.0.0/16"))
    }
    peerings = {"pcx-1": Peering("pcx-1", ("vpc-1", "vpc-2"))} if draw(st.booleans()) else {}
    return replace(facts, route_tables=tables, peerings=peerings)


def ranks(facts: NetworkFacts, endpoint: Endpoint, target: Destination, client: str | None) -> dict[str, int]:
    found = findings(facts, endpoint=endpoint, target=target, client=client)
    return {check: RANK[finding.verdict] for check, finding in found.items()}


@SETTINGS
@given(networks(), ENDPOINTS, TARGETS, CLIENTS, RULES, st.sampled_from(["sg-eice", "sg-target", "sg-far"]))
def test_a_rule_of_a_group_more_never_makes_anything_worse(
    facts: NetworkFacts, endpoint: Endpoint, target: Destination, client: str | None, rule: Rule, group_id: str
) -> None:
    before = ranks(facts, endpoint, target, client)
    assert facts.groups
    group = facts.groups[group_id]
    more = with_group(facts, group_id, ingress=(*group.ingress, rule), egress=(*group.egress, rule))
    after = ranks(more, endpoint, target, client)
    assert all(after[check] >= before[check] for check in before)


@SETTINGS
@given(networks(), ENDPOINTS, TARGETS, CLIENTS, ENTRIES, st.sampled_from(["acl-eice", "acl-target", "acl-far"]))
def test_denying_entries_never_make_anything_better_and_allowing_ones_nothing_worse(
    facts: NetworkFacts,
    endpoint: Endpoint,
    target: Destination,
    client: str | None,
    entries: tuple[AclEntry, ...],
    acl_id: str,
) -> None:
    before = ranks(facts, endpoint, target, client)
    assert facts.acls
    there = facts.acls[acl_id].entries
    taken = {(entry.egress, entry.number) for entry in there}
    new = [entry for entry in entries if (entry.egress, entry.number) not in taken]
    for allow in (True, False):
        facts_then = with_acl(facts, acl_id, *there, *(replace(entry, allow=allow) for entry in new))
        after = ranks(facts_then, endpoint, target, client)
        assert all((after[check] >= before[check]) if allow else (after[check] <= before[check]) for check in before)


@SETTINGS
@given(networks(), ENDPOINTS, TARGETS, CLIENTS, st.randoms(use_true_random=False))
def test_only_the_numbers_of_acl_entries_make_an_order(
    facts: NetworkFacts, endpoint: Endpoint, target: Destination, client: str | None, chance: random.Random
) -> None:
    def shuffled(items: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(chance.sample(items, len(items)))

    assert facts.groups
    assert facts.acls
    assert facts.route_tables
    other = replace(
        facts,
        groups={
            key: replace(group, ingress=shuffled(group.ingress), egress=shuffled(group.egress))  # type: ignore[arg-type]
            for key, group in facts.groups.items()
        },
        acls={key: replace(acl, entries=shuffled(acl.entries)) for key, acl in facts.acls.items()},  # type: ignore[arg-type]
        route_tables={
            key: replace(table, routes=shuffled(table.routes))  # type: ignore[arg-type]
            for key, table in facts.route_tables.items()
        },
    )
    assert ranks(other, endpoint, target, client) == ranks(facts, endpoint, target, client)


@SETTINGS
@given(networks(), ENDPOINTS, TARGETS, CLIENTS)
def test_the_offered_change_mends_its_check(
    facts: NetworkFacts, endpoint: Endpoint, target: Destination, client: str | None
) -> None:
    for check, finding in findings(facts, endpoint=endpoint, target=target, client=client).items():
        if finding.change is None or not finding.change.operation:
            continue
        then, endpoint_then = applied(facts, endpoint, finding.change)
        after = findings(then, endpoint=endpoint_then, target=target, client=client)[check]
        if finding.verdict == "failed" and not (endpoint.preserve_client_ip and "acl" in check):
            assert after.verdict == "ok", (finding, after)
        assert RANK[after.verdict] > 0, (finding, after)
        assert change_command(finding.change, region="us-east-1", profile="my profile").endswith(
            "--region us-east-1 --profile 'my profile'"
        )


@SETTINGS
@given(networks(), TARGETS, CLIENTS)
def test_without_the_rule_that_decides_nothing_is_let_in(
    facts: NetworkFacts, target: Destination, client: str | None
) -> None:
    assume(target.security_group_ids)
    bare = with_group(with_group(facts, "sg-target", ingress=()), "sg-far", ingress=())
    assert findings(bare, target=target, client=client)["target-ingress"].verdict == "failed"


BOXES = st.builds(
    lambda a, b, c, d: TrafficRange(4, min(a, b), max(a, b), (min(c, d), max(c, d))),
    *[st.integers(0, 6)] * 4,
)


@SETTINGS
@given(st.lists(BOXES, min_size=1, max_size=1), st.lists(BOXES, max_size=6))
def test_each_point_is_decided_by_the_first_rule_that_has_it(
    asked: list[TrafficRange], rules: list[TrafficRange]
) -> None:
    def has(whole: TrafficRange, address: int, port: int) -> bool:
        return whole.first <= address <= whole.last and whole.ports[0] <= port <= whole.ports[1]

    pieces = first_match(asked, list(zip(rules, range(len(rules)), strict=True)))
    for address in range(7):
        for port in range(7):
            deciding = [piece.rule for piece in pieces if has(piece.part, address, port)]
            expected = next((number for number, rule in enumerate(rules) if has(rule, address, port)), None)
            assert deciding == ([expected] if has(asked[0], address, port) else [])


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_range_is_what_the_library_says(address: ipaddress.IPv4Address, length: int) -> None:
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    there = traffic_range(f"{address}/{length}")
    assert (there.first, there.last) == (int(network[0]), int(network[-1]))
