"""The ranges of VPCs and subnets, as EC2 lists them."""

from __future__ import annotations

from typing import Any

import pytest

from eicctl.aws.network import cidrs_of


def ipv4(cidr: str, state: str) -> dict[str, Any]:
    return {"CidrBlock": cidr, "CidrBlockState": {"State": state}}


def ipv6(cidr: str, state: str) -> dict[str, Any]:
    return {"Ipv6CidrBlock": cidr, "Ipv6CidrBlockState": {"State": state}}


@pytest.mark.parametrize("state", ["associating", "disassociating", "disassociated", "failing", "failed"])
def test_only_associated_ranges_count(state: str) -> None:
    row: Any = {
        "CidrBlock": "10.0.0.0/16",
        "CidrBlockAssociationSet": [
            ipv4("10.0.0.0/16", "associated"),
            ipv4("10.1.0.0/16", state),
            ipv4("10.2.0.0/16", "associated"),
        ],
        "Ipv6CidrBlockAssociationSet": [ipv6("fd00:1::/56", state), ipv6("fd00:2::/56", "associated")],
    }
    assert cidrs_of(row) == ("10.0.0.0/16", "10.2.0.0/16", "fd00:2::/56")


def test_a_subnet_of_ipv6_alone() -> None:
    row: Any = {"Ipv6CidrBlockAssociationSet": [ipv6("fd00::/64", "associated")]}
    assert cidrs_of(row) == ("fd00::/64",)
