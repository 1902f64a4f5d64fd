"""Many instances and several endpoints: which endpoint carries which instance. Pure; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from eicctl.aws.endpoint_selection import serves
from eicctl.core.model import Endpoint, Instance

Assignment = tuple[Instance, Endpoint | None]


def spread(instances: Sequence[Instance], endpoints: Sequence[Endpoint], limit: int) -> list[Assignment]:
    """Return an endpoint for each instance, or None where its VPC has none that serves it.

    An instance gets the endpoint of its own subnet until that one has `limit` instances, then, and where there is none,
    the one of its VPC that has the fewest. The order alternates between endpoints, so that all are busy from the start.
    """
    load: Counter[str] = Counter()
    assigned: list[Assignment] = []
    for instance in instances:
        address = instance.private_ip or instance.ipv6
        able = [e for e in endpoints if e.vpc_id == instance.vpc_id and e.usable and address and serves(e, address)]
        near = [e for e in able if e.subnet_id == instance.subnet_id and load[e.id] < limit]
        chosen = min(near or able, key=lambda e: load[e.id], default=None)
        if chosen:
            load[chosen.id] += 1
        assigned.append((instance, chosen))
    return list(_alternating(assigned))


def _alternating(assigned: Sequence[Assignment]) -> Iterable[Assignment]:
    by_endpoint: dict[str, list[Assignment]] = {}
    for pair in assigned:
        by_endpoint.setdefault(pair[1].id if pair[1] else "", []).append(pair)
    for row in zip_longest(*by_endpoint.values()):
        yield from (pair for pair in row if pair)
