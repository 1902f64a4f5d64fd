"""Which endpoint serves a target."""

from __future__ import annotations

import pytest

from eicctl.aws.endpoint_selection import NoEndpointError, TargetLocation, choose_endpoint, usable_name
from eicctl.core.errors import NotFoundError, UnavailableError
from eicctl.core.model import Endpoint
from eicctl.support.pins import PROFILE_VARIABLES, REGION_VARIABLES


@pytest.fixture(autouse=True)
def nothing_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints name what the environment says."""
    for name in (*PROFILE_VARIABLES, *REGION_VARIABLES):
        monkeypatch.delenv(name, raising=False)


PLACE = TargetLocation("web-1", "vpc-1", "subnet-1", "az-1")


def endpoint(name: str, **changes: object) -> Endpoint:
    fields = {
        "id": name, "state": "create-complete", "vpc_id": "vpc-1", "subnet_id": "subnet-9", "availability_zone": "az-9",
        "dns_name": f"{name}.example.com", "region": "us-east-1",
    }  # fmt: skip
    return Endpoint(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("endpoints", "chosen"),
    [
        (
            [endpoint("far"), endpoint("az", availability_zone="az-1"), endpoint("subnet", subnet_id="subnet-1")],
            "subnet",
        ),
        ([endpoint("far"), endpoint("az", availability_zone="az-1")], "az"),
        ([endpoint("far"), endpoint("other", vpc_id="vpc-2", subnet_id="subnet-1")], "far"),
        ([endpoint("near", subnet_id="subnet-1", state="create-failed"), endpoint("far")], "far"),
        ([endpoint("near", subnet_id="subnet-1", ip_address_type="ipv6"), endpoint("far")], "far"),
        ([endpoint("near", subnet_id="subnet-1", state="update-in-progress"), endpoint("far")], "near"),
        ([endpoint("near", subnet_id="subnet-1", state="update-failed"), endpoint("far")], "near"),
    ],
)
def test_the_nearest_usable_one(endpoints: list[Endpoint], chosen: str) -> None:
    assert choose_endpoint(endpoints, PLACE, "10.0.0.1").id == chosen


@pytest.mark.parametrize(
    ("kind", "address", "serves"),
    [
        ("ipv4", "10.0.0.1", True),
        ("ipv4", "fd00::1", False),
        ("ipv6", "10.0.0.1", False),
        ("ipv6", "fd00::1", True),
        ("dualstack", "10.0.0.1", True),
        ("dualstack", "fd00::1", True),
    ],
)
def test_address_families(kind: str, address: str, serves: bool) -> None:
    only = [endpoint("e", ip_address_type=kind)]
    if serves:
        assert choose_endpoint(only, PLACE, address).id == "e"
    else:
        with pytest.raises(UnavailableError, match=kind):
            choose_endpoint(only, PLACE, address)


@pytest.mark.parametrize(
    ("state", "message", "hint"),
    [
        ("create-in-progress", "Endpoint e is still being created", "eicctl ssh web-1 --wait"),
        ("create-failed", "Endpoint e is in state create-failed (why)", "eicctl show-endpoint e"),
        ("delete-in-progress", "Endpoint e is being deleted", "eicctl show-endpoint e"),
        ("delete-failed", "Endpoint e is in state delete-failed (why)", "eicctl show-endpoint e"),
    ],
)
def test_states_that_serve_nobody(state: str, message: str, hint: str) -> None:
    with pytest.raises(UnavailableError) as told:
        choose_endpoint([endpoint("e", state=state, state_message="why")], PLACE, "10.0.0.1")
    assert (told.value.message, told.value.hint) == (message, hint)


def test_endpoints_of_a_vpcs_owner() -> None:
    """A participant of a shared VPC cannot use them (docs/explanation/protocol.md#shared-vpcs)."""
    place = TargetLocation("web-1", "vpc-1", "subnet-1", account="111122223333")
    theirs, ours = endpoint("theirs", owner_id="999988887777"), endpoint("ours", owner_id="111122223333")
    assert choose_endpoint([theirs, ours], place, "10.0.0.1").id == "ours"
    with pytest.raises(NoEndpointError):
        choose_endpoint([theirs], place, "10.0.0.1")


@pytest.mark.parametrize(("preserving", "also"), [(False, ""), (True, "--no-preserve-client-ip ")])
def test_another_family_is_offered_as_ec2_takes_it(preserving: bool, also: str) -> None:
    """Only ipv4 endpoints preserve client IPs (docs/explanation/protocol.md#client-ip-preservation)."""
    with pytest.raises(UnavailableError) as told:
        choose_endpoint([endpoint("e", preserve_client_ip=preserving)], PLACE, "fd00::1")
    assert told.value.hint == f"eicctl modify-endpoint e --ip-address-type dualstack {also}--wait"


def test_none_at_all() -> None:
    with pytest.raises(NotFoundError) as told:
        choose_endpoint([endpoint("e", vpc_id="vpc-2")], PLACE, "10.0.0.1")
    assert told.value.hint == "eicctl create-endpoint --subnet-id subnet-1 --wait"


def test_names() -> None:
    both = endpoint("e", fips_dns_name="fips.example.com")
    assert usable_name(both, fips=False) == "e.example.com"
    assert usable_name(both, fips=True) == "fips.example.com"
    with pytest.raises(UnavailableError, match="FIPS"):
        usable_name(endpoint("e"), fips=True)
