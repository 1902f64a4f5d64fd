"""Evaluate whether an endpoint can reach a target, without connecting, in the order of the path.

`evaluate` is pure: it uses the facts that `aws/network.py` has read. What is not known makes a finding `unknown`, never
`failed`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eicctl.core.model import Endpoint
from eicctl.core.network import NetworkFacts
from eicctl.reachability.acls import ENDPOINT_ACL_IN, ENDPOINT_ACL_OUT, TARGET_ACL_IN, TARGET_ACL_OUT, check_acls
from eicctl.reachability.connection import Connection, Finding, listed, target_source
from eicctl.reachability.groups import ENDPOINT_EGRESS, TARGET_INGRESS, endpoint_egress, target_ingress
from eicctl.reachability.remedies import endpoint_setting
from eicctl.reachability.routes import ROUTE_BACK, ROUTE_OUT, check_routes, routes_to

ENDPOINT_STATE = "endpoint-state"
ADDRESS_FAMILY = "address-family"
CLIENT_IP = "client-ip-preservation"

CHECKS = (
    ENDPOINT_STATE,
    ADDRESS_FAMILY,
    CLIENT_IP,
    ENDPOINT_EGRESS,
    ROUTE_OUT,
    ENDPOINT_ACL_OUT,
    TARGET_ACL_IN,
    TARGET_INGRESS,
    ROUTE_BACK,
    TARGET_ACL_OUT,
    ENDPOINT_ACL_IN,
)
"""The IDs of the checks, in the order of the path."""

UNPRESERVED_TYPES = ("c1", "cg1", "cg2", "g1", "hi1", "m1", "m2", "m3", "t1")
"""Instance families without client IP preservation (docs/explanation/protocol.md#client-ip-preservation)."""


def evaluate(facts: NetworkFacts, connection: Connection) -> list[Finding]:
    """Return the findings of all checks, in the order of the path."""
    found = [
        endpoint_state(connection.endpoint),
        address_family(connection),
        client_ip_preservation(facts, connection),
        endpoint_egress(facts, connection),
        target_ingress(facts, connection),
        *check_routes(facts, connection),
        *check_acls(facts, connection),
    ]
    return sorted(found, key=lambda finding: CHECKS.index(finding.check))


def first_cause(findings: Sequence[Finding]) -> Finding | None:
    """Return the first finding that stops the connection; if none is known to, the first that may; else None."""
    for verdict in ("failed", "unknown"):
        for finding in findings:
            if finding.verdict == verdict:
                return finding
    return None


def endpoint_state(endpoint: Endpoint) -> Finding:
    """Check that the endpoint serves connections in its state."""
    why = f": {endpoint.state_message}" if endpoint.state_message else ""
    verdict = "ok" if endpoint.usable else "failed"
    return Finding(ENDPOINT_STATE, verdict, f"{endpoint.id} is in state {endpoint.state}{why}")  # type: ignore[arg-type]


def address_family(connection: Connection) -> Finding:
    """Check that the endpoint serves the family of the target's address."""
    endpoint, family = connection.endpoint, f"ipv{connection.target.version}"
    if endpoint.ip_address_type in (family, "dualstack"):
        return Finding(ADDRESS_FAMILY, "ok", f"{endpoint.id} is {endpoint.ip_address_type}")
    evidence = f"{endpoint.id} is {endpoint.ip_address_type}, but {connection.target.address} is an {family} address"
    return Finding(ADDRESS_FAMILY, "failed", evidence, endpoint_setting(endpoint, "dualstack"))


def client_ip_preservation(facts: NetworkFacts, connection: Connection) -> Finding:
    """Check that client IP preservation suits this target (docs/explanation/protocol.md#client-ip-preservation)."""
    endpoint, target = connection.endpoint, connection.target
    if not endpoint.preserve_client_ip:
        return Finding(CLIENT_IP, "ok", f"off on {endpoint.id}")
    against = []
    if endpoint.ip_address_type != "ipv4" or target.version != 4:
        against.append("it requires an ipv4 endpoint and an IPv4 target")
    if target.instance_type.partition(".")[0] in UNPRESERVED_TYPES:
        against.append(f"instance type {target.instance_type} does not support it")
    if target.vpc_id and target.vpc_id != endpoint.vpc_id:
        against.append(f"the target is in {target.vpc_id}, not in the endpoint's VPC {endpoint.vpc_id}")
    routes = routes_to(facts, endpoint.subnet_id, target_source(connection)) or []
    if any(route and route.kind == "transit-gateway" for route in routes):
        against.append("it does not work through a transit gateway")
    if against:
        evidence = f"{endpoint.id} has client IP preservation on, but {listed(against)}"
        return Finding(CLIENT_IP, "failed", evidence, endpoint_setting(endpoint))
    if not target.vpc_id:
        return Finding(CLIENT_IP, "unknown", f"whether {target.address} is in {endpoint.vpc_id} is unknown")
    return Finding(CLIENT_IP, "ok", f"{target.label} is in the same VPC and supports it")
