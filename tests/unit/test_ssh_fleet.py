"""Which endpoint carries which instance of a fleet."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from eicctl.aws.endpoint_selection import spread
from eicctl.core.model import Endpoint, Instance


def instance(number: int, subnet: str = "s-1", vpc: str = "v") -> Instance:
    return Instance(f"i-{number}", "running", vpc, subnet, "az", f"10.0.{number // 250}.{number % 250 + 4}", "r")


def endpoint(name: str, subnet: str, state: str = "create-complete", vpc: str = "v") -> Endpoint:
    return Endpoint(name, state, vpc, subnet, "az", "dns", "r")


def test_the_own_subnets_endpoint_until_it_is_full() -> None:
    found = spread([instance(n) for n in range(5)], [endpoint("near", "s-1"), endpoint("far", "s-2")], 3)
    assert Counter(e.id for _, e in found if e) == {"near": 3, "far": 2}


def test_all_endpoints_are_busy_from_the_start() -> None:
    instances = [*(instance(n) for n in range(20)), *(instance(n, "s-2") for n in range(20, 40))]
    found = spread(instances, [endpoint("one", "s-1"), endpoint("two", "s-2")], 20)
    assert [e.id for _, e in found[:4] if e] == ["one", "two", "one", "two"]


def test_what_no_endpoint_serves_is_told() -> None:
    found = spread(
        [instance(1), instance(2, vpc="other")],
        [endpoint("dead", "s-1", "delete-in-progress"), endpoint("e", "s-9")],
        20,
    )
    assert {i.id: e and e.id for i, e in found} == {"i-1": "e", "i-2": None}


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 20))
def test_no_instance_is_lost_and_none_comes_twice(subnets: list[int], limit: int) -> None:
    instances = [instance(n, f"s-{subnet}") for n, subnet in enumerate(subnets)]
    found = spread(instances, [endpoint("a", "s-0"), endpoint("b", "s-1")], limit)
    assert sorted(i.id for i, _ in found) == sorted(i.id for i in instances)
    assert all(e for _, e in found)
