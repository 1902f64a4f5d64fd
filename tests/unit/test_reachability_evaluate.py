"""Can the endpoint reach the target? Cases of security groups, network ACLs and routes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eicctl.core.network import AclEntry, GroupReference, PrefixList, Route, RouteTable, Rule
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import plain_address
from eicctl.reachability.evaluate import ADDRESS_FAMILY, CHECKS, CLIENT_IP, ENDPOINT_STATE, first_cause
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT
from tests.network import (
    ENDPOINT,
    FACTS,
    FAR,
    OPEN,
    SSH,
    TARGET,
    applied,
    by_id,
    findings,
    not_ok,
    peered,
    with_acl,
    with_group,
)

PRESERVING = replace(ENDPOINT, preserve_client_ip=True)
CLIENT = "198.51.100.7"
SIX = replace(TARGET, address="fd00:0:0:2::7")


def reference(group_id: str, **fields: str) -> Rule:
    return Rule(ports=SSH, groups=(GroupReference(group_id, **fields),))


def ranges(*cidrs: str, ports: tuple[int, int] = SSH, protocol: str = "tcp") -> Rule:
    return Rule(protocol, ports, cidrs=cidrs)


def lists(list_id: str) -> Rule:
    return Rule(ports=SSH, prefix_list_ids=(list_id,))


def test_all_is_well_in_the_order_of_the_way() -> None:
    found = findings()
    assert list(found) == list(CHECKS)
    assert not_ok(found) == {}
    assert first_cause(list(found.values())) is None
    assert not any(finding.change for finding in found.values())


LISTS = by_id([PrefixList("pl-1", cidrs=("192.0.2.0/24", "10.0.1.0/28")), PrefixList("pl-dark")])

INGRESS = {
    "a group of the endpoint": (reference("sg-eice"), "ok"),
    "another group": (reference("sg-other"), "failed"),
    "the group itself": (reference("sg-target"), "failed"),
    "the endpoint's address": (ranges("10.0.1.5/32"), "ok"),
    "the VPC": (ranges("10.0.0.0/16"), "ok"),
    "a range written with host bits": (ranges("10.0.1.9/24"), "ok"),
    "the neighbour's address": (ranges("10.0.1.6/32"), "failed"),
    "another port": (ranges("0.0.0.0/0", ports=(23, 3389)), "failed"),
    "a range of ports": (ranges("0.0.0.0/0", ports=(20, 30)), "ok"),
    "TCP by its number": (ranges("0.0.0.0/0", protocol="6"), "ok"),
    "UDP": (ranges("0.0.0.0/0", protocol="udp"), "failed"),
    "ICMP only": (ranges("0.0.0.0/0", ports=(-1, -1), protocol="icmp"), "failed"),
    "ICMP whose type and code look like a port": (ranges("0.0.0.0/0", ports=(8, 255), protocol="icmp"), "failed"),
    "all traffic": (ranges("0.0.0.0/0", ports=(0, 65535), protocol="-1"), "ok"),
    "all traffic from a group": (Rule("-1", groups=(GroupReference("sg-eice"),)), "ok"),
    "IPv6 only": (ranges("::/0"), "failed"),
    "a prefix list that has it": (lists("pl-1"), "ok"),
    "a prefix list whose entries are not known": (lists("pl-dark"), "unknown"),
    "a prefix list that is not known": (lists("pl-2"), "unknown"),
    "nobody": (Rule(ports=SSH), "failed"),
}


@pytest.mark.parametrize(("rule", "verdict"), INGRESS.values(), ids=INGRESS)
def test_ingress_of_the_target(rule: Rule, verdict: str) -> None:
    facts = with_group(replace(FACTS, prefix_lists=LISTS), "sg-target", ingress=(rule,))
    found = findings(facts)
    assert not_ok(found) == ({} if verdict == "ok" else {TARGET_INGRESS: verdict})
    if verdict == "failed":
        change = found[TARGET_INGRESS].change
        assert change
        assert change.words[2:] == (
            *("authorize-security-group-ingress", "--group-id", "sg-target", "--protocol", "tcp"),
            *("--port", "22", "--source-group", "sg-eice"),
        )


EGRESS = {
    "a group of the target": (reference("sg-target"), "ok"),
    "another group": (reference("sg-eice"), "failed"),
    "the target's address": (ranges("10.0.2.7/32"), "ok"),
    "the endpoint's own subnet": (ranges("10.0.1.0/24"), "failed"),
    "all traffic": (ranges("0.0.0.0/0", protocol="-1"), "ok"),
    "ICMP only": (ranges("0.0.0.0/0", protocol="icmp", ports=(-1, -1)), "failed"),
    "a prefix list without it": (lists("pl-1"), "failed"),
}


@pytest.mark.parametrize(("rule", "verdict"), EGRESS.values(), ids=EGRESS)
def test_egress_of_the_endpoint(rule: Rule, verdict: str) -> None:
    facts = with_group(replace(FACTS, prefix_lists=LISTS), "sg-eice", egress=(rule,))
    assert not_ok(findings(facts)) == ({} if verdict == "ok" else {ENDPOINT_EGRESS: verdict})


def test_the_endpoints_ingress_and_the_targets_egress_do_not_count() -> None:
    facts = with_group(with_group(FACTS, "sg-eice", ingress=()), "sg-target", egress=())
    assert not_ok(findings(facts)) == {}


def test_any_group_of_several_admits() -> None:
    target = replace(TARGET, security_group_ids=("sg-eice", "sg-target"))
    assert not_ok(findings(target=target)) == {}


def test_evidence_says_what_is_missing_and_what_is_there() -> None:
    facts = with_group(FACTS, "sg-target", ingress=(ranges("10.9.0.0/16"), ranges("0.0.0.0/0", ports=(443, 443))))
    assert findings(facts)[TARGET_INGRESS].evidence == (
        "sg-target (target) has no inbound rule for TCP 22 from the endpoint's address 10.0.1.5 or sg-eice "
        "(existing: TCP 22 from 10.9.0.0/16, TCP 443 from 0.0.0.0/0)"
    )
    bare = with_group(FACTS, "sg-target", ingress=())
    assert findings(bare)[TARGET_INGRESS].evidence.endswith(" (existing: none)")
    assert findings()[TARGET_INGRESS].evidence == (
        "sg-target (target) allows TCP 22 from sg-eice, which includes the endpoint's address 10.0.1.5"
    )


def test_an_unknown_address_of_the_endpoint_is_somewhere_in_its_subnet() -> None:
    facts = replace(FACTS, interfaces=None, unread={"DescribeNetworkInterfaces": "no"})
    whole, half, two_halves = "10.0.1.0/24", "10.0.1.0/25", ("10.0.1.0/25", "10.0.1.128/25")
    assert not_ok(findings(with_group(facts, "sg-target", ingress=(ranges(whole),)))) == {}
    assert not_ok(findings(with_group(facts, "sg-target", ingress=(ranges(*two_halves),)))) == {}
    assert not_ok(findings(with_group(facts, "sg-target", ingress=(ranges(half),)))) == {TARGET_INGRESS: "unknown"}
    assert not_ok(findings(with_group(facts, "sg-target", ingress=(ranges("10.0.3.0/24"),)))) == {
        TARGET_INGRESS: "failed"
    }


@pytest.mark.parametrize(
    ("rule", "client", "verdict"),
    [
        (reference("sg-eice"), None, "ok"),
        (ranges("198.51.100.0/24"), CLIENT, "ok"),
        (ranges("10.0.0.0/16"), CLIENT, "failed"),
        (ranges("198.51.100.0/24"), None, "unknown"),
        (ranges("0.0.0.0/0"), None, "ok"),
        (ranges("10.0.0.0/8"), None, "failed"),
        (ranges("198.51.100.0/24"), "2001:db8::1", "unknown"),
    ],
)
def test_with_client_ip_preservation_the_callers_address_counts(rule: Rule, client: str | None, verdict: str) -> None:
    facts = with_group(FACTS, "sg-target", ingress=(rule,))
    found = findings(facts, endpoint=PRESERVING, client=client)
    assert found[TARGET_INGRESS].verdict == verdict


@pytest.mark.parametrize("instance_type", ["m1.small", "t1.micro", "c1.medium", "hi1.4xlarge", "cg1.4xlarge"])
def test_old_instance_types_do_not_work_with_preservation(instance_type: str) -> None:
    target = replace(TARGET, instance_type=instance_type)
    found = findings(target=target, endpoint=PRESERVING, client=CLIENT)
    assert not_ok(found) == {CLIENT_IP: "failed"}
    change = found[CLIENT_IP].change
    assert change
    assert change.words == ("eicctl", "modify-endpoint", "eice-1", "--no-preserve-client-ip")
    assert not_ok(findings(target=target)) == {}


def test_preservation_is_for_the_same_vpc_and_ipv4() -> None:
    assert findings(peered(), target=FAR, endpoint=PRESERVING)[CLIENT_IP].verdict == "failed"
    dual = replace(PRESERVING, ip_address_type="dualstack")
    assert findings(endpoint=dual)[CLIENT_IP].verdict == "failed"
    somewhere = replace(TARGET, vpc_id="", subnet_id="")
    assert findings(endpoint=PRESERVING, target=somewhere)[CLIENT_IP].verdict == "unknown"


@pytest.mark.parametrize(
    ("kind", "target", "verdict"),
    [
        ("ipv4", TARGET, "ok"),
        ("ipv4", SIX, "failed"),
        ("ipv6", TARGET, "failed"),
        ("dualstack", SIX, "ok"),
        ("dualstack", TARGET, "ok"),
    ],
)
def test_address_families(kind: str, target: object, verdict: str) -> None:
    assert isinstance(target, type(TARGET))
    found = findings(endpoint=replace(ENDPOINT, ip_address_type=kind), target=target)
    assert not_ok(found) == ({} if verdict == "ok" else {ADDRESS_FAMILY: verdict})


def test_ipv6_rules() -> None:
    dual = replace(ENDPOINT, ip_address_type="dualstack")
    facts = with_group(FACTS, "sg-target", ingress=(ranges("fd00:0:0:1::/64"),))
    assert not_ok(findings(facts, endpoint=dual, target=SIX)) == {}
    only_four = with_group(FACTS, "sg-target", ingress=(ranges("0.0.0.0/0"),))
    assert not_ok(findings(only_four, endpoint=dual, target=SIX)) == {TARGET_INGRESS: "failed"}
    narrow = with_group(FACTS, "sg-eice", egress=(ranges("0.0.0.0/0"),))
    unreferenced = replace(SIX, security_group_ids=())
    change = findings(narrow, endpoint=dual, target=unreferenced)[ENDPOINT_EGRESS].change
    assert change
    assert change.words[-1] == "IpProtocol=tcp,FromPort=22,ToPort=22,Ipv6Ranges=[{CidrIpv6=fd00:0:0:2::7/128}]"


def test_the_endpoints_state() -> None:
    failed = replace(ENDPOINT, state="create-failed", state_message="no address is free")
    found = findings(endpoint=failed)
    assert not_ok(found) == {ENDPOINT_STATE: "failed"}
    assert found[ENDPOINT_STATE].evidence == "eice-1 is in state create-failed: no address is free"


def entry(number: int, *, egress: bool, allow: bool, **fields: object) -> AclEntry:
    return AclEntry(number, egress, allow, **fields)  # type: ignore[arg-type]


IN_22 = entry(50, egress=False, allow=False, protocol="6", ports=SSH)
OUT_22 = entry(50, egress=True, allow=False, protocol="6", ports=SSH)
BACK = (1024, 65535)

ACLS: dict[str, tuple[str, tuple[AclEntry, ...], dict[str, str]]] = {
    "nothing but the default": ("acl-target", (), {TARGET_ACL_IN: "failed", TARGET_ACL_OUT: "failed"}),
    "deny before allow": ("acl-target", (*OPEN, IN_22), {TARGET_ACL_IN: "failed"}),
    "allow before deny": ("acl-target", (*OPEN, replace(IN_22, number=150)), {}),
    "deny of another address": ("acl-target", (*OPEN, replace(IN_22, cidr="10.0.9.0/24")), {}),
    "deny of another port": ("acl-target", (*OPEN, replace(IN_22, ports=(23, 80))), {}),
    "deny of UDP": ("acl-target", (*OPEN, replace(IN_22, protocol="17")), {}),
    "deny of ICMP": ("acl-target", (*OPEN, replace(IN_22, protocol="1")), {}),
    "deny of IPv6": ("acl-target", (*OPEN, replace(IN_22, cidr="::/0")), {}),
    "the endpoint is not let out": ("acl-eice", (*OPEN, OUT_22), {ENDPOINT_ACL_OUT: "failed"}),
    "the answer does not come out": (
        "acl-target",
        (*OPEN, entry(50, egress=True, allow=False, protocol="6", ports=BACK)),
        {TARGET_ACL_OUT: "failed"},
    ),
    "the answer does not come in": (
        "acl-eice",
        (*OPEN, entry(50, egress=False, allow=False, protocol="6", ports=(1000, 65535))),
        {ENDPOINT_ACL_IN: "failed"},
    ),
    "only port 22 comes back": (
        "acl-eice",
        (entry(100, egress=True, allow=True), entry(100, egress=False, allow=True, protocol="6", ports=SSH)),
        {ENDPOINT_ACL_IN: "failed"},
    ),
    "some of the ports come back": (
        "acl-eice",
        (entry(100, egress=True, allow=True), entry(100, egress=False, allow=True, protocol="6", ports=(32768, 60999))),
        {ENDPOINT_ACL_IN: "unknown"},
    ),
    "all ports in two entries": (
        "acl-eice",
        (
            entry(100, egress=True, allow=True),
            entry(100, egress=False, allow=True, protocol="6", ports=(1024, 40000)),
            entry(110, egress=False, allow=True, protocol="6", ports=(40001, 65535)),
        ),
        {},
    ),
    "overlapping ranges": (
        "acl-target",
        (
            *OPEN,
            entry(40, egress=False, allow=True, protocol="6", cidr="10.0.1.0/28", ports=SSH),
            replace(IN_22, cidr="10.0.0.0/8"),
        ),
        {},
    ),
}


@pytest.mark.parametrize(("acl", "entries", "expected"), ACLS.values(), ids=ACLS)
def test_network_acls(acl: str, entries: tuple[AclEntry, ...], expected: dict[str, str]) -> None:
    found = findings(with_acl(FACTS, acl, *entries))
    assert not_ok(found) == expected
    for check, verdict in expected.items():
        change = found[check].change
        assert change or verdict == "unknown"


def test_what_part_an_acl_denies_is_said() -> None:
    some_ports = with_acl(FACTS, "acl-eice", *ACLS["some of the ports come back"][1])
    assert findings(some_ports)[ENDPOINT_ACL_IN].evidence == (
        "the default entry * of acl-eice denies inbound TCP 1024-65535 from 10.0.2.7 (return traffic), "
        "but only ports 1024-32767 and 61000-65535"
    )
    nowhere = replace(with_acl(FACTS, "acl-target", *OPEN, replace(IN_22, cidr="10.0.1.0/25")), interfaces=None)
    found = findings(nowhere)[TARGET_ACL_IN]
    assert found.verdict == "unknown"
    assert found.evidence.endswith("but only some of the addresses")


def test_no_acl_is_asked_within_a_subnet() -> None:
    target = replace(TARGET, subnet_id="subnet-eice")
    assert not_ok(findings(with_acl(with_acl(FACTS, "acl-eice"), "acl-target"), target=target)) == {}


def test_what_an_acl_sees_with_preservation_is_not_documented() -> None:
    facts = with_acl(FACTS, "acl-target", *OPEN, replace(IN_22, cidr="10.0.0.0/16"))
    assert not_ok(findings(facts, endpoint=PRESERVING, client=CLIENT)) == {TARGET_ACL_IN: "unknown"}
    everything = with_acl(FACTS, "acl-target", *OPEN, IN_22)
    assert not_ok(findings(everything, endpoint=PRESERVING, client=CLIENT)) == {TARGET_ACL_IN: "failed"}


def test_the_new_entry_comes_before_the_one_that_denies() -> None:
    found = findings(with_acl(FACTS, "acl-target", *OPEN, IN_22))[TARGET_ACL_IN]
    assert found.evidence == "entry 50 of acl-target denies inbound TCP 22 from the endpoint's address 10.0.1.5"
    assert found.change
    assert found.change.words[2:] == (
        *("create-network-acl-entry", "--network-acl-id", "acl-target", "--rule-number", "10", "--ingress"),
        *(
            "--protocol",
            "tcp",
            "--port-range",
            "From=22,To=22",
            "--cidr-block",
            "10.0.1.5/32",
            "--rule-action",
            "allow",
        ),
    )
    first = replace(IN_22, number=1)
    assert findings(with_acl(FACTS, "acl-target", *OPEN, first))[TARGET_ACL_IN].change is None


ROUTES: dict[str, tuple[tuple[Route, ...], tuple[Route, ...], dict[str, str]]] = {
    "no route": ((), (), {ROUTE_OUT: "failed", ROUTE_BACK: "failed"}),
    "only there": ((Route("10.2.0.0/16", "peering", "pcx-1"),), (), {ROUTE_BACK: "failed"}),
    "blackhole": (
        (Route("10.2.0.0/16", "peering", "pcx-1", blackhole=True),),
        (Route("10.0.0.0/16", "peering", "pcx-1"),),
        {ROUTE_OUT: "failed"},
    ),
    "the longest prefix": (
        (Route("10.2.0.0/16", "peering", "pcx-1"), Route("10.2.1.0/24", "peering", "pcx-9", blackhole=True)),
        (Route("0.0.0.0/0", "other", "nat-1"), Route("10.0.0.0/16", "peering", "pcx-1")),
        {ROUTE_OUT: "failed"},
    ),
    "to the Internet": (
        (Route("0.0.0.0/0", "other", "igw-1"),),
        (Route("10.0.0.0/16", "peering", "pcx-1"),),
        {ROUTE_OUT: "failed"},
    ),
    "a transit gateway": (
        (Route("10.2.0.0/16", "transit-gateway", "tgw-1"),),
        (Route("10.0.0.0/8", "transit-gateway", "tgw-1"),),
        {ROUTE_OUT: "unknown", ROUTE_BACK: "unknown"},
    ),
    "a prefix list": (
        (Route("pl-far", "peering", "pcx-1"),),
        (Route("10.0.0.0/16", "peering", "pcx-1"),),
        {},
    ),
    "a prefix list whose entries are not known": (
        (Route("pl-dark", "peering", "pcx-1"),),
        (Route("10.0.0.0/16", "peering", "pcx-1"),),
        {ROUTE_OUT: "unknown"},
    ),
    "a prefix list of a gateway endpoint": (
        (Route("pl-s3", "other", "vpce-1"),),
        (Route("10.0.0.0/16", "peering", "pcx-1"),),
        {ROUTE_OUT: "failed"},
    ),
}


@pytest.mark.parametrize(("there", "back", "expected"), ROUTES.values(), ids=ROUTES)
def test_routes_to_another_vpc(there: tuple[Route, ...], back: tuple[Route, ...], expected: dict[str, str]) -> None:
    tables = by_id(
        [
            RouteTable("rtb-own", "vpc-1", ("subnet-eice",), routes=(Route("10.0.0.0/16"), *there)),
            RouteTable("rtb-main", "vpc-1", main=True, routes=(Route("10.0.0.0/16"),)),
            RouteTable("rtb-2", "vpc-2", main=True, routes=(Route("10.2.0.0/16"), *back)),
        ]
    )
    known = by_id([PrefixList("pl-far", cidrs=("10.2.0.0/16",))])
    facts = replace(peered(), route_tables=tables, prefix_lists=known)
    assert not_ok(findings(facts, target=FAR)) == expected


def test_a_missing_route_is_mended_by_the_peering_connection_that_is_there() -> None:
    facts = replace(peered(), route_tables=FACTS.route_tables)
    endpoint = ENDPOINT
    for check in (ROUTE_OUT, ROUTE_BACK):
        found = findings(facts, endpoint=endpoint, target=FAR)[check]
        assert found.verdict == "failed"
        assert found.change
        facts, endpoint = applied(facts, endpoint, found.change)
    assert not_ok(findings(facts, target=FAR)) == {}


def test_without_a_way_an_endpoint_in_the_targets_subnet_helps() -> None:
    change = findings(target=FAR)[ROUTE_OUT].change
    assert change
    assert change.words == ("eicctl", "create-endpoint", "--subnet-id", "subnet-far")
    assert not change.operation


@pytest.mark.parametrize(
    ("changes", "fields", "verdict"),
    [
        ({}, {}, "ok"),
        ({"status": "deleted"}, {}, "failed"),
        ({"same_region": False}, {}, "failed"),
        ({}, {"peering_status": "deleted"}, "failed"),
        ({}, {"peering_status": "active", "vpc_id": "vpc-1"}, "ok"),
    ],
)
def test_groups_across_a_peering_connection(changes: dict[str, object], fields: dict[str, str], verdict: str) -> None:
    facts = with_group(peered(**changes), "sg-far", ingress=(reference("sg-eice", **fields),))
    assert findings(facts, target=FAR)[TARGET_INGRESS].verdict == verdict


def test_a_peering_connection_of_other_vpcs_does_not_lead_there() -> None:
    facts = peered(vpc_ids=("vpc-1", "vpc-3"))
    assert findings(facts, target=FAR)[ROUTE_OUT].verdict == "failed"


def test_what_could_not_be_read_is_unknown_and_not_missing() -> None:
    names = ("groups", "acls", "route_tables")
    dark = replace(
        FACTS,
        **dict.fromkeys(names),
        unread={"DescribeSecurityGroups": "you may not look", "DescribeNetworkAcls": "nor here"},
    )
    found = findings(dark)
    assert not_ok(found) == dict.fromkeys(
        [ENDPOINT_EGRESS, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_INGRESS, TARGET_ACL_OUT, ENDPOINT_ACL_IN], "unknown"
    )
    assert "you may not look" in found[ENDPOINT_EGRESS].evidence
    assert "nor here" in found[TARGET_ACL_IN].evidence


def test_a_plain_address_is_what_the_network_says_it_is() -> None:
    assert plain_address(FACTS, "10.0.1.5").security_group_ids == ("sg-eice",)
    bare = plain_address(FACTS, "10.0.2.9")
    assert (bare.vpc_id, bare.subnet_id, bare.security_group_ids) == ("vpc-1", "subnet-target", None)
    assert not_ok(findings(target=bare)) == {TARGET_INGRESS: "unknown"}
    nowhere = plain_address(FACTS, "192.0.2.9")
    assert nowhere.vpc_id == ""
    assert first_cause(list(findings(target=nowhere).values()))
