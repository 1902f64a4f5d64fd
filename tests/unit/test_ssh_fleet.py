"""Which endpoint carries which instance of a fleet."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from eicctl.aws.endpoint_selection import spread
from eicctl.aws.session import Session
from eicctl.core.model import Endpoint, Instance, Target
from eicctl.ssh import fleet
from eicctl.ssh.login import Login
from eicctl.ssh.os_user import OsUser
from eicctl.tunnel.slots import LIMIT


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


def login(endpoint_id: str, number: int) -> Login:
    target = Target(f"10.0.0.{number}", 22, endpoint_id, "host", "r", instance_id=f"i-{endpoint_id}-{number}")
    return Login(Session(region="us-east-1"), target, OsUser("ec2-user", "specified"), pushes=True)


def test_a_full_endpoint_leaves_room_for_another() -> None:
    """The queue of hosts: 20 at most behind one endpoint, and those of another one need not wait for them."""
    waiting = fleet._Waiting([*(login("one", n) for n in range(50)), *(login("two", n) for n in range(30))])
    taken = [waiting.take() for _ in range(40)]
    assert Counter(each.target.endpoint_id for each in taken if each) == {"one": LIMIT, "two": LIMIT}
    late: list[Login | None] = []
    thread = threading.Thread(target=lambda: late.append(waiting.take()))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()  # both are full
    two = next(each for each in taken if each and each.target.endpoint_id == "two")
    waiting.done(two)
    thread.join(5)
    assert [each and each.target.endpoint_id for each in late] == ["two"]
    waiting.clear()
    assert waiting.take() is None


def test_hosts_are_begun_in_turns_of_the_endpoints() -> None:
    waiting = fleet._Waiting([*(login("one", n) for n in range(3)), *(login("two", n) for n in range(3))])
    order = [each.target.endpoint_id for _ in range(6) if (each := waiting.take())]
    assert order == ["one", "two"] * 3
    assert waiting.take() is None
