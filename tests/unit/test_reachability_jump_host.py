"""Through which instance a database is reached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eicctl.core.errors import NotFoundError
from eicctl.core.model import Endpoint, Instance
from eicctl.core.network import GroupReference, Rule, SecurityGroup
from eicctl.reachability.jump_host import choose_instance

ENDPOINT = Endpoint("eice-1", "create-complete", "vpc-1", "subnet-1", "us-east-1a", "e.example.com", "us-east-1")
WEB = Instance(
    "i-1", "running", "vpc-1", "subnet-1", "us-east-1a", "10.0.1.10", "us-east-1", "web", security_group_ids=("sg-web",)
)
POSTGRES = (5432, 5432)
BY_GROUP = SecurityGroup("sg-db", ingress=(Rule(ports=POSTGRES, groups=(GroupReference("sg-web"),)),))
BY_RANGE = SecurityGroup("sg-db", ingress=(Rule(ports=POSTGRES, cidrs=("10.0.2.0/24",)),))


def choose(*instances: Instance, rules: tuple[SecurityGroup, ...] = (BY_GROUP,), **changes: Any) -> str:
    settings: dict[str, Any] = {"vpc_id": "vpc-1", "port": 5432, "endpoints": [ENDPOINT]} | changes
    return choose_instance(instances, rules, settings.pop("endpoints"), **settings).instance.id


def test_the_reason_is_said() -> None:
    way = choose_instance([WEB], [BY_GROUP], [ENDPOINT], vpc_id="vpc-1", port=5432, availability_zone="us-east-1a")
    assert (
        way.reason == "sg-db allows TCP 5432 from sg-web, which includes web (10.0.1.10), in the same zone us-east-1a"
    )
    inside = replace(WEB, private_ip="10.0.2.7")
    way = choose_instance([inside], [BY_RANGE], [ENDPOINT], vpc_id="vpc-1", port=5432)
    assert way.reason == "sg-db allows TCP 5432 from 10.0.2.0/24"


def test_only_running_linux_instances_of_the_vpc() -> None:
    others = (
        replace(WEB, id="i-2", state="stopped", name="a"),
        replace(WEB, id="i-3", platform="windows", name="a"),
        replace(WEB, id="i-4", vpc_id="vpc-2", name="a"),
        replace(WEB, id="i-5", security_group_ids=("sg-other",), name="a"),
    )
    assert choose(*others, WEB) == "i-1"


def test_the_same_zone_first_then_a_group_then_the_name() -> None:
    far = replace(WEB, id="i-far", name="a", availability_zone="us-east-1b")
    assert choose(far, WEB, availability_zone="us-east-1a") == "i-1"
    assert choose(far, WEB, availability_zone="") == "i-far"
    by_range = replace(WEB, id="i-range", name="a", private_ip="10.0.2.7", security_group_ids=())
    assert choose(by_range, WEB, rules=(BY_RANGE, BY_GROUP)) == "i-1"


def test_ipv6() -> None:
    six = replace(WEB, id="i-6", ipv6="fd00::6", security_group_ids=())
    assert choose(six, rules=(SecurityGroup("sg-db", ingress=(Rule(cidrs=("fd00::/64",)),)),)) == "i-6"


def test_why_there_is_none() -> None:
    with pytest.raises(NotFoundError, match="its security groups allow sg-web"):
        choose(replace(WEB, security_group_ids=("sg-other",)))
    with pytest.raises(NotFoundError, match="its security groups allow none"):
        choose(WEB, rules=())
    with pytest.raises(NotFoundError, match="No running Linux instance in VPC vpc-1"):
        choose()
    with pytest.raises(NotFoundError, match=r"VPC vpc-1 .* has no available EC2 Instance Connect Endpoint"):
        choose(WEB, endpoints=[replace(ENDPOINT, vpc_id="vpc-2")])
