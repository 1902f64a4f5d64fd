"""Which endpoint counts for an instance, and what is said of all together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eicctl.core.model import Endpoint, Instance
from eicctl.core.network import NetworkFacts, Route, RouteTable, Rule
from eicctl.reachability.coverage import Reach, assess, summary
from tests.network import ENDPOINT, FACTS, by_id, peered, with_group

WEB = Instance(
    "i-web",
    "running",
    "vpc-1",
    "subnet-target",
    "us-east-1a",
    "10.0.2.7",
    "us-east-1",
    "web",
    security_group_ids=("sg-target",),
    instance_type="t3.micro",
)
FAR = replace(
    WEB, id="i-far", vpc_id="vpc-2", subnet_id="subnet-far", private_ip="10.2.1.7", security_group_ids=("sg-far",)
)


def look(
    instance: Instance = WEB, *endpoints: Endpoint, facts: NetworkFacts = FACTS, **fields: Any
) -> tuple[str, str, str]:
    reach = assess(instance, endpoints or (ENDPOINT,), facts, **fields)
    return reach.verdict, reach.check, reach.endpoint.id if reach.endpoint else ""


def test_the_endpoint_of_its_vpc() -> None:
    assert look() == ("ok", "", "eice-1")
    assert look(FAR) == ("failed", "no-endpoint", "")


def test_the_port_is_the_platforms_unless_one_is_given() -> None:
    windows = replace(WEB, platform="windows")
    assert look(windows) == ("failed", "target-ingress", "eice-1")
    assert look(windows, port=22) == ("ok", "", "eice-1")
    assert assess(windows, [ENDPOINT], FACTS).port == 3389


def test_an_endpoint_that_serves_nothing_is_named() -> None:
    broken = replace(ENDPOINT, state="create-failed")
    assert look(WEB, broken) == ("failed", "endpoint-state", "eice-1")
    gone = replace(ENDPOINT, state="delete-complete")
    assert look(WEB, gone) == ("failed", "no-endpoint", "")
    other = replace(ENDPOINT, id="eice-2")
    assert look(WEB, broken, other) == ("ok", "", "eice-2")


def test_the_address_that_the_endpoint_serves() -> None:
    both = replace(WEB, ipv6="fd00:0:0:2::7")
    assert look(both, replace(ENDPOINT, ip_address_type="ipv6")) == ("ok", "", "eice-1")
    assert look(WEB, replace(ENDPOINT, ip_address_type="ipv6")) == ("failed", "address-family", "eice-1")
    assert look(replace(WEB, private_ip="")) == ("unknown", "no-address", "")


def test_the_callers_address_counts_with_preservation() -> None:
    keeping = replace(ENDPOINT, preserve_client_ip=True)
    facts = with_group(FACTS, "sg-target", ingress=(Rule(ports=(22, 22), cidrs=("198.51.100.0/24",)),))
    assert look(WEB, keeping, facts=facts) == ("unknown", "target-ingress", "eice-1")
    assert look(WEB, keeping, facts=facts, client_address="198.51.100.7") == ("ok", "", "eice-1")
    assert look(WEB, keeping, facts=facts, client_address="192.0.2.1") == ("failed", "target-ingress", "eice-1")


def test_an_endpoint_of_another_vpc_helps_where_routes_lead() -> None:
    reach = assess(FAR, [ENDPOINT], peered())
    assert (reach.verdict, reach.endpoint) == ("ok", ENDPOINT)
    assert reach.reason == f"reached from another VPC: eicctl ssh {FAR.id} --instance-connect-endpoint-id eice-1"
    assert look(FAR, replace(ENDPOINT, state="create-failed"), facts=peered())[:2] == ("failed", "no-endpoint")


def test_what_a_transit_gateway_does_is_not_known() -> None:
    routes = {"vpc-1": Route("10.2.0.0/16", "transit-gateway", "tgw-1"), "vpc-2": Route("0.0.0.0/0", "other", "igw-1")}
    tables = [RouteTable(f"rtb-{vpc}", vpc, main=True, routes=(route,)) for vpc, route in routes.items()]
    one_way = replace(FACTS, route_tables=by_id(tables))
    assert look(FAR, facts=one_way) == ("failed", "no-endpoint", "")
    tables[1] = replace(tables[1], routes=(Route("10.0.0.0/8", "transit-gateway", "tgw-1"),))
    reach = assess(FAR, [ENDPOINT], replace(FACTS, route_tables=by_id(tables)))
    assert (reach.verdict, reach.check) == ("unknown", "route-out")
    assert "eice-1 of vpc-1 may: route 10.2.0.0/16 points to tgw-1" in reach.reason


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([], "0 of 0 running instances reachable"),
        ([("ok", "")], "1 of 1 running instance reachable"),
        (
            [("ok", ""), ("failed", "target-acl-in"), ("failed", "route-out"), ("failed", "endpoint-acl-in")],
            "1 of 4 running instances reachable; unreachable: 2 network ACL, 1 no route",
        ),
        ([("unknown", "target-ingress")], "0 of 1 running instance reachable; unknown: 1 no ingress rule"),
    ],
)
def test_the_sum(verdicts: list[tuple[Any, str]], said: str) -> None:
    assert summary([Reach(WEB, 22, verdict, check=check) for verdict, check in verdicts]) == said
