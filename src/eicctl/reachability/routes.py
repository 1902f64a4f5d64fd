"""Routes: does the route table of a subnet lead to the other one, and back?"""

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
class _Direction:
    """From a subnet to a goal in a VPC. `target_subnet` is where an endpoint would help if there is no way."""

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
    """Return the findings of the way to the target and of the way back."""
    endpoint, target = connection.endpoint, connection.target
    there, here = target_source(connection), endpoint_source(facts, connection)
    ways_there_and_back = (
        _Direction(ROUTE_OUT, endpoint.subnet_id, endpoint.vpc_id, there, target.vpc_id, target.subnet_id),
        _Direction(ROUTE_BACK, target.subnet_id, target.vpc_id, here, endpoint.vpc_id, target.subnet_id),
    )
    return [_routed(facts, way) for way in ways_there_and_back]


def routes_to(facts: NetworkFacts, subnet_id: str, goal: Source) -> list[Route | None] | None:
    """Return the routes that a subnet's table has for a goal (None: no route); None if the table is not known."""
    table = _table(facts, subnet_id)
    if table is None:
        return None
    pieces = first_match(goal.boxes, _by_prefix(facts, table))
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


def _routed(facts: NetworkFacts, way: _Direction) -> Finding:
    routes = routes_to(facts, way.subnet_id, way.goal)
    if routes is None:
        if way.within:
            return Finding(way.check, "ok", f"both ends are in {way.vpc_id}")
        what = f"the route table of {way.subnet_id or 'the subnet'}"
        return Finding(way.check, "unknown", not_read(facts, "DescribeRouteTables", what))
    told = [_verdict_of(facts, route, way) for route in routes]
    if all(verdict == "ok" for verdict, _ in told):
        return Finding(way.check, "ok", listed([words for _, words in told]))
    if dark := _unread_lists(facts, way.subnet_id):
        return Finding(way.check, "unknown", f"routes use {listed(dark)}, whose entries are unknown")
    if all(verdict == "failed" for verdict, _ in told):
        table = _table(facts, way.subnet_id)
        table_id = table.id if table else ""
        evidence = f"route table {table_id} of {way.subnet_id}: {listed([words for _, words in told])}"
        return Finding(way.check, "failed", evidence, _fix(facts, table_id, way, routes))
    return Finding(way.check, "unknown", listed([words for verdict, words in told if verdict != "ok"]))


def _table(facts: NetworkFacts, subnet_id: str) -> RouteTable | None:
    subnet = subnet_of(facts, subnet_id)
    return facts.route_table_of(subnet) if subnet else None


def _unread_lists(facts: NetworkFacts, subnet_id: str) -> list[str]:
    """The prefix lists that a subnet's routes name and whose entries are not known; not those of gateway endpoints."""
    table = _table(facts, subnet_id)
    named = [r.destination for r in (table.routes if table else ()) if not r.via.startswith("vpce-")]
    lists = facts.prefix_lists or {}
    return [each for each in named if each.startswith("pl-") and (each not in lists or lists[each].cidrs is None)]


def _verdict_of(facts: NetworkFacts, route: Route | None, way: _Direction) -> tuple[Verdict, str]:
    """A route's verdict and evidence."""
    if route is None:
        # Every route table of a VPC has routes to all of it, which cannot be taken away.
        within = f"both ends are in {way.vpc_id}"
        return ("ok", within) if way.within else ("failed", f"no route to {way.goal.label}")
    words = f"route {route.destination} points to {route.via}"
    if route.blackhole:
        return "failed", f"{words}, which no longer exists (blackhole)"
    if route.kind == "local":
        if way.within or not way.goal_vpc:
            return "ok", f"route {route.destination} is local"
        return "failed", f"route {route.destination} is local, so traffic to {way.goal.label} stays in {way.vpc_id}"
    if route.kind == "peering":
        return _by_peering(facts, route, words, way.goal_vpc)
    if route.kind == "transit-gateway":
        return "unknown", f"{words}, whose own route tables decide"
    if not way.within and route.via.startswith(("igw-", "nat-", "eigw-")):
        return "failed", f"{words}, which leads to the Internet and not to {way.goal.label}"
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


def _fix(facts: NetworkFacts, table_id: str, way: _Direction, routes: Sequence[Route | None]) -> Change | None:
    """A route to a peering connection that is there and active; else an endpoint on the target's own side."""
    between: list[Peering] = [
        peering
        for peering in (facts.peerings or {}).values()
        if peering.status == "active" and not way.within and set(peering.vpc_ids) == {way.vpc_id, way.goal_vpc}
    ]
    free = all(route is None or route.destination != way.goal.cidr for route in routes)
    if between and way.goal.cidr and free:
        return peering_route(table_id, way.goal.cidr, min(peering.id for peering in between))
    subnet = subnet_of(facts, way.target_subnet)
    return new_endpoint(subnet.vpc_id, subnet.id) if subnet and not way.within else None
