"""Which running instances can be reached, and what keeps one from the others. Pure; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eicctl.aws.endpoint_selection import TargetLocation, choose_endpoint, serves
from eicctl.core.errors import NotFoundError, UnavailableError
from eicctl.core.model import RDP_PORT, Endpoint, Instance, usual_port
from eicctl.core.network import NetworkFacts
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT
from eicctl.reachability.connection import Connection, Verdict, instance_at
from eicctl.reachability.evaluate import ADDRESS_FAMILY, CLIENT_IP, ENDPOINT_STATE, evaluate, first_cause
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS
from eicctl.reachability.remedies import Change, NewEndpoint
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT

NO_ENDPOINT = "no-endpoint"
NO_ADDRESS = "no-address"

CAUSES = {
    NO_ADDRESS: "no address",
    NO_ENDPOINT: "no endpoint",
    ENDPOINT_STATE: "endpoint not available",
    ADDRESS_FAMILY: "address family",
    CLIENT_IP: "client IP preservation",
    ENDPOINT_EGRESS: "endpoint's egress",
    ROUTE_OUT: "no route",
    ENDPOINT_ACL_OUT: "network ACL",
    TARGET_ACL_IN: "network ACL",
    TARGET_INGRESS: "no ingress rule",
    ROUTE_BACK: "no route back",
    TARGET_ACL_OUT: "network ACL",
    ENDPOINT_ACL_IN: "network ACL",
}
"""What to call the causes in a table or a sum, by the IDs of the checks."""

_RANK = {"failed": 0, "unknown": 1, "ok": 2}


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether an instance can be reached.

    Attributes:
        instance: The instance.
        port: The port that was asked about.
        verdict: `ok`, `failed`, or `unknown`.
        endpoint: The endpoint that serves it, or would; None where there is none.
        check: The ID of the check that fails first, or is not known; empty where all is well.
        reason: The first cause in one sentence without a full stop; where all is well, what to know, or nothing.
        change: The smallest change that fixes it, where there is one.
    """

    instance: Instance
    port: int
    verdict: Verdict
    endpoint: Endpoint | None = None
    check: str = ""
    reason: str = ""
    change: Change | None = None

    @property
    def cause(self) -> str:
        """The cause in a few words; empty where all is well."""
        return CAUSES.get(self.check, "")


def assess(
    instance: Instance,
    endpoints: Sequence[Endpoint],
    facts: NetworkFacts,
    *,
    port: int | None = None,
    client_address: str | None = None,
) -> Reach:
    """Return whether an instance can be reached: by the endpoint that eicctl takes by itself, or else by another one.

    Args:
        instance: A running instance.
        endpoints: The endpoints of its region.
        facts: The network of its region.
        port: The port; the platform's where None.
        client_address: The caller's public address, or None.
    """
    port = port or usual_port(instance.platform)
    if not (instance.private_ip or instance.ipv6):
        return Reach(instance, port, "unknown", check=NO_ADDRESS, reason="it has no private address yet")
    own = _own(instance, endpoints)
    at_home = _through(instance, own, facts, port, client_address) if own else _without(instance, port)
    if at_home.verdict == "ok":
        return at_home
    others = [e for e in endpoints if e.usable and e.vpc_id != instance.vpc_id and _may_lead(facts, e, instance)]
    away = [_through(instance, each, facts, port, client_address) for each in others]
    best = max(away, key=lambda reach: _RANK[reach.verdict], default=at_home)
    if _RANK[best.verdict] <= _RANK[at_home.verdict]:
        return at_home
    return _from_afar(best)


def assess_all(
    instances: Iterable[Instance],
    endpoints: Sequence[Endpoint],
    facts: NetworkFacts,
    *,
    port: int | None = None,
    client_address: str | None = None,
) -> list[Reach]:
    """Return `assess` of each instance."""
    return [assess(each, endpoints, facts, port=port, client_address=client_address) for each in instances]


def summary(reaches: Sequence[Reach]) -> str:
    """Return the whole in one line: `3 of 9 running instances reachable; unreachable: 4 no ingress rule`."""
    count = Counter(reach.verdict for reach in reaches)
    total = len(reaches)
    said = f"{count['ok']} of {total} running instances reachable"
    for verdict, word in (("failed", "unreachable"), ("unknown", "unknown")):
        causes = Counter(reach.cause for reach in reaches if reach.verdict == verdict)
        if causes:
            told = sorted(causes.items(), key=lambda pair: (-pair[1], pair[0]))
            said += f"; {word}: {', '.join(f'{number} {cause}' for cause, number in told)}"
    return said


def _own(instance: Instance, endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint that eicctl takes for an instance; where none is usable, the one that is there."""
    place = TargetLocation(
        instance.id, instance.vpc_id, instance.subnet_id, instance.availability_zone, instance.owner_id
    )
    usable = [e for e in endpoints if e.vpc_id == instance.vpc_id and e.usable]
    try:
        return choose_endpoint(endpoints, place, _address(instance, usable))
    except (NotFoundError, UnavailableError):
        there = [e for e in endpoints if e.vpc_id == instance.vpc_id and not e.state.startswith("delete-complete")]
        return min(there, key=lambda e: (not e.usable, e.id), default=None)


def _address(instance: Instance, endpoints: Sequence[Endpoint]) -> str:
    """The instance's address of a family that one of the endpoints serves, IPv4 first."""
    addresses = [address for address in (instance.private_ip, instance.ipv6) if address]
    return next((a for a in addresses if any(serves(e, a) for e in endpoints)), addresses[0])


def _through(
    instance: Instance, endpoint: Endpoint, facts: NetworkFacts, port: int, client_address: str | None
) -> Reach:
    target = instance_at(instance, _address(instance, [endpoint]))
    cause = first_cause(evaluate(facts, Connection(endpoint, target, port, client_address)))
    if cause is None:
        return Reach(instance, port, "ok", endpoint)
    return Reach(instance, port, cause.verdict, endpoint, cause.check, cause.evidence, cause.change)


def _without(instance: Instance, port: int) -> Reach:
    reason = f"VPC {instance.vpc_id} has no EC2 Instance Connect Endpoint"
    change = NewEndpoint(instance.vpc_id, instance.subnet_id)
    return Reach(instance, port, "failed", None, NO_ENDPOINT, reason, change)


def _may_lead(facts: NetworkFacts, endpoint: Endpoint, instance: Instance) -> bool:
    """Whether an endpoint may reach another VPC: by a peering connection, or a transit gateway."""
    if any(set(p.vpc_ids) == {endpoint.vpc_id, instance.vpc_id} for p in (facts.peerings or {}).values()):
        return True
    tables = [table for table in (facts.route_tables or {}).values() if table.vpc_id == endpoint.vpc_id]
    return any(route.kind == "transit-gateway" for table in tables for route in table.routes)


def _from_afar(reach: Reach) -> Reach:
    """An instance that an endpoint of another VPC reaches: eicctl takes that one only where it is named."""
    assert reach.endpoint  # noqa: S101 - it was reached through one
    where = f"{reach.endpoint.id} of {reach.endpoint.vpc_id}"
    if reach.verdict == "ok":
        command = "rdp" if reach.port == RDP_PORT else "ssh"
        reason = (
            f"reached from another VPC: eicctl {command} {reach.instance.id} "
            f"--instance-connect-endpoint-id {reach.endpoint.id}"
        )
    else:
        reason = f"no endpoint in {reach.instance.vpc_id} reaches it; {where} may: {reach.reason}"
    return Reach(reach.instance, reach.port, reach.verdict, reach.endpoint, reach.check, reason, reach.change)
