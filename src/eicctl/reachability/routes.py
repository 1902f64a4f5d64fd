"""Routes: whether the route table of a subnet leads to the other one, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eicctl.core.network import NetworkFacts, Peering, Route, RouteTable
from eicctl.reachability.connection import (
    Connection,
    Finding,
    Source,
    TrafficRange,
    Verdict,
    endpoint_source,
    first_match,
    listed,
    not_read,
    prefix_length,
    subnet_of,
    target_source,
    traffic_range,
)
from eicctl.reachability.remedies import Change, new_endpoint, peering_route

ROUTE_OUT = "route-out"
ROUTE_BACK = "route-back"


@dataclass(frozen=True, slots=True)
class _Leg:
    """From a subnet to a goal in a VPC. An endpoint in `target_subnet` would help if no route leads there."""

    check: str
    subnet_id: str
    vpc_id: str
    goal: Source
    goal_vpc: str
    target_subnet: str

    @property
    def within(self) -> bool:
        """Whether both ends are known to be in one VPC."""
        return bool(self.vpc_id) and self.vpc_id == self.goal_vpc


def check_routes(facts: NetworkFacts, connection: Connection) -> list[Finding]:
    """Return the findings of the routes to the target, and back."""
    endpoint, target = connection.endpoint, connection.target
    there, here = target_source(connection), endpoint_source(facts, connection)
    legs = (
        _Leg(ROUTE_OUT, endpoint.subnet_id, endpoint.vpc_id, there, target.vpc_id, target.subnet_id),
        _Leg(ROUTE_BACK, target.subnet_id, target.vpc_id, here, endpoint.vpc_id, target.subnet_id),
    )
    return [_routed(facts, leg) for leg in legs]


def routes_to(facts: NetworkFacts, subnet_id: str, goal: Source) -> list[Route | None] | None:
    """Return the routes that a subnet's table has for a goal (None: no route); None if the table is not known."""
    table = _table(facts, subnet_id)
    if table is None:
        return None
    pieces = first_match(goal.ranges, _by_prefix(facts, table))
    return list(dict.fromkeys(piece.rule for piece in pieces))


def _by_prefix(facts: NetworkFacts, table: RouteTable) -> list[tuple[TrafficRange, Route]]:
    found: list[tuple[int, bool, str, Route]] = []
    for route in table.routes:
        known = (facts.prefix_lists or {}).get(route.destination)
        cidrs = (known.cidrs or ()) if route.destination.startswith("pl-") and known else (route.destination,)
        found += [
            (-prefix_length(cidr), route.kind != "local", cidr, route) for cidr in cidrs if not cidr.startswith("pl-")
        ]
    return [
        (traffic_range(cidr), route) for *_, cidr, route in sorted(found, key=lambda item: (*item[:3], item[3].via))
    ]


def _routed(facts: NetworkFacts, leg: _Leg) -> Finding:
    routes = routes_to(facts, leg.subnet_id, leg.goal)
    if routes is None:
        if leg.within:
            return Finding(leg.check, "ok", f"both ends are in {leg.vpc_id}")
        what = f"the route table of {leg.subnet_id or 'the subnet'}"
        return Finding(leg.check, "unknown", not_read(facts, "DescribeRouteTables", what))
    results = [_verdict_of(facts, route, leg) for route in routes]
    if all(verdict == "ok" for verdict, _ in results):
        return Finding(leg.check, "ok", listed([words for _, words in results]))
    if unread := _unread_lists(facts, leg.subnet_id):
        return Finding(leg.check, "unknown", f"routes use {listed(unread)}, whose entries are unknown")
    if all(verdict == "failed" for verdict, _ in results):
        table = _table(facts, leg.subnet_id)
        table_id = table.id if table else ""
        evidence = f"route table {table_id} of {leg.subnet_id}: {listed([words for _, words in results])}"
        return Finding(leg.check, "failed", evidence, _fix(facts, table_id, leg, routes))
    return Finding(leg.check, "unknown", listed([words for verdict, words in results if verdict != "ok"]))


def _table(facts: NetworkFacts, subnet_id: str) -> RouteTable | None:
    subnet = subnet_of(facts, subnet_id)
    return facts.route_table_of(subnet) if subnet else None


def _unread_lists(facts: NetworkFacts, subnet_id: str) -> list[str]:
    """The prefix lists that a subnet's routes name and whose entries are not known; not those of gateway endpoints."""
    table = _table(facts, subnet_id)
    named = [r.destination for r in (table.routes if table else ()) if not r.via.startswith("vpce-")]
    lists = facts.prefix_lists or {}
    return [each for each in named if each.startswith("pl-") and (each not in lists or lists[each].cidrs is None)]


def _verdict_of(facts: NetworkFacts, route: Route | None, leg: _Leg) -> tuple[Verdict, str]:
    """A route's verdict and evidence."""
    if route is None:
        # Every route table of a VPC has routes to all of it, which cannot be taken away.
        within = f"both ends are in {leg.vpc_id}"
        return ("ok", within) if leg.within else ("failed", f"no route to {leg.goal.label}")
    words = f"route {route.destination} points to {route.via}"
    if route.blackhole:
        return "failed", f"{words}, which no longer exists (blackhole)"
    if route.kind == "local":
        if leg.within or not leg.goal_vpc:
            return "ok", f"route {route.destination} is local"
        return (
            "failed",
            f"route {route.destination} is local, so traffic to {leg.goal.label} stays in {leg.vpc_id}",
        )
    if route.kind == "peering":
        return _by_peering(facts, route, words, leg.goal_vpc)
    if route.kind == "transit-gateway":
        return "unknown", f"{words}, whose own route tables decide"
    if not leg.within and route.via.startswith(("igw-", "nat-", "eigw-")):
        return "failed", f"{words}, which leads to the Internet and not to {leg.goal.label}"
    return "unknown", f"{words}, which may or may not forward the traffic"


def _by_peering(facts: NetworkFacts, route: Route, words: str, goal_vpc: str) -> tuple[Verdict, str]:
    peering = (facts.peerings or {}).get(route.via)
    if peering is None:
        return "unknown", f"{words}, which is unknown here"
    if peering.status != "active":
        return "failed", f"{words}, which is {peering.status}"
    if goal_vpc and goal_vpc not in peering.vpc_ids:
        return "failed", f"{words}, which connects {listed(peering.vpc_ids)} and not {goal_vpc}"
    return "ok", words


def _fix(facts: NetworkFacts, table_id: str, leg: _Leg, routes: Sequence[Route | None]) -> Change | None:
    """A route to a peering connection that is there and active; else an endpoint on the target's own side."""
    between: list[Peering] = [
        peering
        for peering in (facts.peerings or {}).values()
        if peering.status == "active" and not leg.within and set(peering.vpc_ids) == {leg.vpc_id, leg.goal_vpc}
    ]
    free = all(route is None or route.destination != leg.goal.cidr for route in routes)
    if between and leg.goal.cidr and free:
        return peering_route(table_id, leg.goal.cidr, min(peering.id for peering in between))
    subnet = subnet_of(facts, leg.target_subnet)
    return new_endpoint(subnet.vpc_id, subnet.id) if subnet and not leg.within else None
